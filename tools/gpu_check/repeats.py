"""Two runs of one seed on a device: what is equal to the last bit, and how far the rest is apart.

Sums by atomic additions come in any order on a GPU. Nothing here is a failure but a case that does
not run: the figures are for a reader.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from olivine.core.devices import Precision
from tools.gpu_check.cases.comparing import (
    Case,
    Computed,
    Place,
    precisions_of,
    relative_error,
    sentence,
)
from tools.gpu_check.cases.pretraining_step import (
    Training,
    config_of,
    early_olivine,
    steps,
    whole_batch,
)
from tools.gpu_check.operations import cases
from tools.gpu_check.report import Finding, Setup, failed, measured

PART = "repeats"
NUM_STEPS = 5


def check(setup: Setup) -> Iterator[Finding]:
    """Yield what differs between two runs, as usual and with torch's deterministic operations."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for that
    batches = [whole_batch(setup, round_=number) for number in range(NUM_STEPS)]
    for kind, deterministic in (("", False), ("deterministic, ", True)):
        with _deterministic(deterministic):
            for precision in ("float32", "bfloat16"):
                place = Place(torch.device(setup.device), precision=precision)
                what = f"{kind}{NUM_STEPS} steps of training, {precision}"
                yield from _runs(what, batches, place, is_raised=deterministic)
            if deterministic or not setup.is_small:
                yield from _operations(kind, setup, is_raised=deterministic)


def _runs(what: str, batches: list, place: Place, is_raised: bool) -> Iterator[Finding]:
    """Yield how far losses and weights of two trainings are apart."""
    config = config_of(early_olivine(), len(batches[0].tokens)).replace(precision=place.precision)
    try:
        one, other = (steps(Training(config, place), batches) for _ in range(2))
    except Exception as error:
        yield _stopped(what, error, is_raised)
        return
    losses, again = torch.stack(one.losses), torch.stack(other.losses)
    yield _apart(f"{what}: losses", losses, again)
    first = [number for number in range(NUM_STEPS) if losses[number] != again[number]]
    step = first[0] if first else -1
    figure = f"step {step}" if first else "none"
    yield measured(PART, f"{what}: first step with another loss", figure, step=step)
    changes = torch.stack(one.changes).sum(0), torch.stack(other.changes).sum(0)
    yield _apart(f"{what}: change of weights", *changes)


def _operations(kind: str, setup: Setup, is_raised: bool) -> Iterator[Finding]:
    """Yield the operations that differ or raise, and how many do not."""
    num_equal, num_outputs = 0, 0
    for case in cases(setup):
        for precision in _precisions(case, setup):
            place = Place(torch.device(setup.device), precision=precision)
            name = case.name if precision == "float32" else f"{case.name}, {precision}"
            try:
                one, other = _twice(case, place)
            except Exception as error:
                yield _stopped(f"{kind}{name}", error, is_raised)
                continue
            different = [key for key in one if not _same(one[key], other[key])]
            num_equal += len(one) - len(different)
            num_outputs += len(one)
            for key in different:
                yield _apart(f"{kind}{name}: {key}", one[key], other[key])
    yield measured(
        PART,
        f"{kind}operations: equal to the last bit",
        f"{num_equal} of {num_outputs} results",
        equal=num_equal,
        results=num_outputs,
    )


def _precisions(case: Case, setup: Setup) -> list[Precision]:
    """Return the precisions of a case but float16, and none twice that autocast does not change."""
    single = case.bounds["float32"]
    wanted = precisions_of(case, replace(setup, is_small=True))
    return [name for name in wanted if name == "float32" or case.bounds[name] != single]


def _twice(case: Case, place: Place) -> tuple[Computed, Computed]:
    return _kept(case.compute(place)), _kept(case.compute(place))


def _kept(found: Computed) -> Mapping[str, Tensor]:
    return {name: value.detach().clone() for name, value in found.items()}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())


def _apart(what: str, one: Tensor, other: Tensor) -> Finding:
    """Return how far two results are apart."""
    if _same(one, other):
        return measured(PART, what, "equal to the last bit", error=0.0)
    error = relative_error(other.double(), one.double())
    return measured(PART, what, f"apart by {error:.1e}", error=error)


def _stopped(what: str, error: Exception, is_raised: bool) -> Finding:
    """Return the finding of an error: a figure where torch may refuse an operation."""
    if is_raised and "deterministic" in str(error):
        return measured(PART, what, f"raises: {sentence(error)[:160]}", raises=str(error))
    return failed(PART, what, sentence(error))


@contextmanager
def _deterministic(is_on: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(is_on)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
