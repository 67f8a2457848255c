"""The comparisons pass on a CPU and see a wrong operation; a GPU is compared where there is one."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from olivine.models.sparse import kernel_maps
from olivine.models.sparse.kernel_maps import Cells, KernelMap
from olivine.training import segmentation
from tests.support.gpu import needs_gpu
from tools.gpu_check import operations, repeats, steps
from tools.gpu_check.cases import methods, sparse, training
from tools.gpu_check.cases.comparing import (
    REFERENCE,
    Case,
    Place,
    findings,
    gradients,
    random_rows,
    relative_error,
)
from tools.gpu_check.report import FAILED, MEASURED, PASSED, Finding, Setup

CPU = Place(torch.device("cpu"))


@pytest.fixture
def small(tmp_path: Path) -> Setup:
    return Setup("cpu", True, (), tmp_path)


def failures(found: Iterator[Finding]) -> list[str]:
    made = list(found)
    assert len(made) > 1
    return [f"{one.what}: {one.figure}" for one in made if one.verdict == FAILED]


def test_operations_on_the_cpu_are_within_their_bounds(small: Setup) -> None:
    assert failures(operations.check(small)) == []


def test_steps_on_the_cpu_are_within_their_bounds(small: Setup) -> None:
    assert failures(steps.check(small)) == []


def test_repeats_on_the_cpu_are_equal(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "cases", lambda setup: [*training.training_cases(setup)][:6])
    monkeypatch.setattr(repeats, "NUM_STEPS", 2)
    found = {one.what: one for one in repeats.check(small)}
    assert {one.verdict for one in found.values()} == {MEASURED}
    assert not any(one.numbers.get("error") for one in found.values())
    numbers = found["deterministic, operations: equal to the last bit"].numbers
    assert numbers["equal"] == numbers["results"] > 20


def test_repeats_say_what_differs(small: Setup) -> None:
    calls = iter(range(100))

    def rising(place: Place) -> dict[str, Tensor]:
        return {"number": torch.tensor([1.0, 1 + next(calls) * 1e-3])}

    case = Case("an operation", rising)
    one, other = repeats._twice(case, CPU)
    finding = repeats._apart("an operation: number", one["number"], other["number"])
    assert finding.verdict == MEASURED
    assert finding.numbers["error"] == pytest.approx(1e-3 / 2**0.5, rel=1e-2)


def test_a_wrong_operation_fails_and_the_others_do_not(
    small: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = sparse.convolve

    def wrong(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        rows = right(features, kernel, kernel_map)
        return rows if rows.dtype == torch.float64 else rows * (1 + 1e-4)

    monkeypatch.setattr(sparse, "convolve", wrong)
    monkeypatch.setattr(sparse, "CONVOLUTIONS", sparse.CONVOLUTIONS[:1])
    found = list(findings("operations", sparse.sparse_cases(small), small))
    wrong_ones = [one.what for one in found if one.verdict == FAILED]
    assert "convolution 3³: output" in wrong_ones
    assert all(what.startswith("convolution") for what in wrong_ones)


def test_a_lost_gradient_fails(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(logits: Tensor, class_ids: Tensor) -> Tensor:
        given = logits if is_reference else logits.detach() / 2 + logits / 2
        return segmentation.cross_entropy(given, class_ids)

    case = Case("cross entropy", partial(training._segmentation, 200), methods.OF_LOSS)
    monkeypatch.setattr(training, "cross_entropy", halved)
    is_reference = True
    wanted = case.compute(REFERENCE)
    is_reference = False
    found = case.compute(CPU)
    assert relative_error(found["cross entropy"], wanted["cross entropy"]) < 1e-6
    name = "cross entropy's gradient"
    assert relative_error(found[name], wanted[name]) == pytest.approx(0.5, abs=1e-3)


def test_another_cell_fails(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    places = iter([REFERENCE, CPU])

    def coarsen(fine: Cells) -> tuple[Cells, KernelMap]:
        cells, down = kernel_maps.coarsen(fine)
        if place is not REFERENCE:
            cells.keys[-1] += 1
        return cells, down

    def maps(given: Place) -> dict[str, Tensor]:
        nonlocal place
        place = next(places)
        return {"cells": sparse.coarsen(Cells(torch.arange(10) * 2, None))[0].keys}

    place = CPU
    monkeypatch.setattr(sparse, "coarsen", coarsen)
    (finding,) = findings("operations", [Case("maps", maps)], small)
    assert (finding.verdict, finding.figure) == (FAILED, "1 of 10 differ")


def test_a_case_that_raises_is_one_failure(small: Setup) -> None:
    def raises(place: Place) -> dict[str, Tensor]:
        if place is REFERENCE:
            return {"x": torch.ones(2)}
        raise RuntimeError("no kernel image\nand more")

    fine = Case("fine", lambda place: {"x": torch.ones(2)})
    found = list(findings("operations", [Case("raises", raises), fine], small))
    assert [one.verdict for one in found] == [FAILED, PASSED]
    assert found[0].figure == "RuntimeError: no kernel image"


def test_errors_are_of_all_numbers_together_and_never_hidden() -> None:
    one = torch.tensor([3.0, 4.0])
    assert relative_error(one, one) == 0
    assert relative_error(one + torch.tensor([0.0, 0.5]), one) == pytest.approx(0.1)
    assert relative_error(torch.tensor([1.0]), torch.tensor([0.0])) == 1
    lost = torch.tensor([-torch.inf, 1.0])
    assert relative_error(lost, lost) == 0
    for found, wanted in (
        (torch.tensor([torch.nan, 4.0]), one),
        (torch.tensor([torch.inf, 4.0]), one),
        (one, lost),
        (one[:1], one),
    ):
        assert not relative_error(found, wanted) <= 1


def test_a_vector_has_the_gradient_of_its_product_with_random_numbers() -> None:
    rows = random_rows(4, 3, seed=1).requires_grad_()
    (found,) = gradients(2 * rows, {"rows": rows}, seed=5).values()
    torch.testing.assert_close(found, 2 * random_rows(4, 3, seed=5))


class NoIntegerProducts(TorchDispatchMode):
    """Raises for what CUDA lacks: products of matrices of integers."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("mm", "addmm", "mv", "addmv", "bmm", "baddbmm", "dot"):
            assert args[-1].is_floating_point(), f"CUDA has no {name} of integers"
        return function(*args, **(kwargs or {}))


def test_no_operation_multiplies_matrices_of_integers(small: Setup) -> None:
    whole = ("MinkUNet", "VoxelNet", "WaffleIron", "kernel maps", "scene counts")
    with NoIntegerProducts():
        for case in operations.cases(small):
            if case.name.startswith(whole):
                case.compute(CPU)


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("part", [operations, steps, repeats], ids=lambda part: part.__name__)
def test_a_gpu_computes_what_the_cpu_does(part, tmp_path: Path) -> None:
    assert failures(part.check(Setup("cuda", True, (), tmp_path))) == []
