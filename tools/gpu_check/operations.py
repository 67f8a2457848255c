"""CUDA against float64 on the CPU, operation by operation."""

from collections.abc import Iterator

from tools.gpu_check.comparing import Case, findings
from tools.gpu_check.method_cases import method_cases
from tools.gpu_check.report import Finding, Setup
from tools.gpu_check.sparse_cases import sparse_cases
from tools.gpu_check.training_cases import training_cases


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the verdict on every operation, in every precision that it is used in."""
    yield from findings("operations", cases(setup), setup.device)


def cases(setup: Setup) -> Iterator[Case]:
    """Yield every operation."""
    yield from training_cases(setup)
    yield from method_cases(setup)
    yield from sparse_cases(setup)
