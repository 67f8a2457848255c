"""CUDA against float64 on the CPU, operation by operation."""

from collections.abc import Iterator

from tools.gpu_check.cases.comparing import Case, findings
from tools.gpu_check.cases.methods import method_cases
from tools.gpu_check.cases.sparse import sparse_cases
from tools.gpu_check.cases.training import training_cases
from tools.gpu_check.report import Finding, Setup


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the verdict on every operation, in every precision that it is used in."""
    yield from findings("operations", cases(setup), setup)


def cases(setup: Setup) -> Iterator[Case]:
    """Yield every operation."""
    yield from training_cases(setup)
    yield from method_cases(setup)
    yield from sparse_cases(setup)
