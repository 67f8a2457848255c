"""The parts that measure: they run on a CPU at small sizes, and see a rival that cheats."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import Tensor

from benchmarks.models.sparse_convolution import TableGrid
from benchmarks.training.marked_step import PARTS
from tests.support.gpu import needs_gpu
from tools.gpu_check import loading, step_time, teacher, unet
from tools.gpu_check.profiling import Profile
from tools.gpu_check.report import FAILED, LEFT_OUT, Finding, Setup


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return Setup("cpu", True, (), tmp_path_factory.mktemp("check"))


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    found = {finding.what: finding for finding in findings}
    assert not [f for f in found.values() if f.verdict == FAILED]
    return found


def test_a_step_is_measured_by_part(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "FORMATS", ("float32",))
    monkeypatch.setattr(step_time, "NUM_FRAMES", (4,))
    found = by_name(step_time.check(small))
    numbers = found["float32, 4 frames"].numbers
    assert set(numbers["parts_host_ms"]) == set(PARTS)
    assert all(spent_ms > 0 for spent_ms in numbers["parts_host_ms"].values())
    assert numbers["num_images"] == 24
    assert found["idle share, launches, waits, kernels"].verdict == LEFT_OUT


def test_a_step_is_profiled_once_and_its_lines_are_named_once(
    small: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Profile(600.0, 100.0, 9, [{"name": "void at::gemm<1>(x)", "count": 9, "ms": 8.0}],
                   [], [], [], [])  # fmt: skip
    stacks: list[bool] = []
    taken: list[bool] = []

    def profiled(call: Callable[[], object], *_: object, with_stack: bool) -> Profile:
        stacks.append(with_stack)
        return seen

    monkeypatch.setattr(step_time, "profile", profiled)
    monkeypatch.setattr(step_time, "waits_by_line", lambda *_: [{"line": "a.py:1", "count": 2}])
    recipe_step = SimpleNamespace(step=lambda load, marked: taken.append(marked))
    found = []
    for what in ("float32, 4 frames", "float32, 1 frame"):
        timed = Finding("step_time", what, "", numbers={"wall_ms": 400.0})
        found += list(step_time._profiled(recipe_step, None, timed, small))  # type: ignore[arg-type]
    assert [finding.what for finding in found] == [
        "float32, 4 frames: lines",
        "float32, 4 frames: device",
        "float32, 4 frames: waits by function",
        "float32, 1 frame: device",
    ]
    assert found[1].numbers["idle_share"] == pytest.approx(0.75)
    assert "gemm 8.0 ms" in found[1].figure
    assert stacks == [True, False]


def test_the_loader_is_measured_next_to_steps(small: Setup) -> None:
    found = by_name(loading.check(small))
    assert {"0 processes", "1 processes"} <= set(found)
    assert found["0 processes"].numbers["frames_per_s"] > 0
    assert any(name.startswith("steps with") for name in found)


def test_enough_processes_are_those_that_are_faster_than_steps() -> None:
    assert loading._enough({0: 20.0, 1: 8.0, 4: 30.0, 16: 90.0}, taken=9.0) == 4
    assert loading._enough({0: 20.0, 1: 4.0, 4: 8.0}, taken=9.0) == 4
    assert loading._enough({}, taken=9.0) == 0


def test_engines_are_measured_and_agree(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "NUM_FRAMES", (2,))
    monkeypatch.setattr(unet, "FORMATS", ("float32",))
    found = by_name(unet.check(small))
    numbers = found["2 frames, float32, torch"].numbers
    assert numbers["step_ms"] > 0
    assert numbers["maps_ms"] > 0
    assert found["2 frames: the table's features against ours"].numbers["error"] < unet.AGREE


def test_a_rival_that_does_other_work_fails(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    right = TableGrid.convolve

    def wrong(self: TableGrid, features: Tensor, kernel: Tensor, *levels: int) -> Tensor:
        rows = right(self, features, kernel, *levels)
        rows[0] = 0
        return rows

    monkeypatch.setattr(unet, "NUM_FRAMES", (1,))
    monkeypatch.setattr(unet, "FORMATS", ())
    monkeypatch.setattr(TableGrid, "convolve", wrong)
    late = replace(small, ends_s=0.0)  # what is slow and tells less is not begun
    found = {finding.what: finding.verdict for finding in unet.check(late)}
    assert [what for what, verdict in found.items() if verdict == FAILED] == [
        "1 frame: the table's features against ours"
    ]
    assert found["1 frame, float32, table of neighbours"] == LEFT_OUT


def test_image_networks_are_measured(small: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "NETWORKS", ("resnet50",))
    monkeypatch.setattr(teacher, "FORMATS", teacher.FORMATS[:1])
    found = by_name(teacher.check(small))
    numbers = found["resnet50, 1 images, float32, ours"].numbers
    assert numbers["images_per_s"] > 0
    assert numbers["share_of_peak"] > 0


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("part", [unet, step_time, teacher, loading])
def test_every_part_runs_on_a_gpu(part, tmp_path: Path) -> None:
    found = by_name(part.check(Setup("cuda", True, (), tmp_path)))
    assert found
