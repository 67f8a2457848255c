"""What is read from a profiler's trace, and from torch's warnings of waits."""

import warnings

import pytest
import torch

from tests.support.gpu import needs_gpu
from tools.gpu_check.profiling import (
    ROOT,
    WINDOW,
    profile,
    read_trace,
    waits_by_line,
    warned_waits,
    without_warning,
)


def event(kind: str, name: str, first_us: float, spent_us: float, **changes: object) -> dict:
    given = {"ph": "X", "cat": kind, "name": name, "ts": first_us, "dur": spent_us, "tid": 1}
    return {**given, "args": {}, **changes}


def launch(first_us: float, number: int, **changes: object) -> dict:
    made = event("cuda_runtime", "cudaLaunchKernel", first_us, 2, **changes)
    return {**made, "args": {"correlation": number, "External id": number}}


def trace() -> list[dict]:
    """One step: two products launch three kernels, a number is read back, one copy overlaps."""
    kernels = [(130, 20, 1), (140, 20, 2), (200, 10, 3)]
    return [
        event("user_annotation", WINDOW, 100, 100),
        event("cpu_op", "aten::matmul", 101, 30),
        event("cpu_op", "aten::mm", 102, 20),
        event("python_function", "olivine/models/x.py(3): convolve", 100, 60),
        event("python_function", "torch/functional.py(1): unique", 140, 15),
        event("cpu_op", "aten::item", 141, 13),
        event("cuda_runtime", "cudaStreamSynchronize", 142, 10),
        launch(105, 1),
        launch(110, 2),
        launch(160, 3, tid=99),
        event("cpu_op", "aten::add", 158, 5, args={"External id": 3}),
        event("cuda_runtime", "cudaDeviceSynchronize", 201, 50),  # the profiler's caller
        *(event("kernel", "gemm", t, s, args={"correlation": n}) for t, s, n in kernels),
        event("gpu_memcpy", "Memcpy DtoH", 155, 10),
        {"ph": "M", "name": "process_name"},
    ]


def test_kernels_and_copies_that_overlap_count_once() -> None:
    seen = read_trace(trace())
    assert seen.num_kernels == 3
    assert seen.busy_ms == pytest.approx(0.045)  # 130 to 165, and 200 to 210
    assert seen.idle_share(0.1) == pytest.approx(0.55)
    assert seen.kernels == [{"name": "gemm", "count": 3, "ms": pytest.approx(0.05)}]
    assert [row["name"] for row in seen.copies] == ["Memcpy DtoH"]


def test_a_wait_is_named_by_its_operation_and_by_the_project_s_function() -> None:
    seen = read_trace(trace())
    assert seen.num_waits() == 1
    assert seen.waits == [
        {
            "call": "cudaStreamSynchronize",
            "operation": "aten::item",
            "function": "olivine/models/x.py(3): convolve",
            "count": 1,
            "ms": pytest.approx(0.01),
        }
    ]


def test_a_kernel_belongs_to_the_innermost_operation_of_its_launch() -> None:
    """A launch whose thread has no operations is found by its number."""
    launched = {row["name"]: row["count"] for row in read_trace(trace()).operations}
    assert launched == {"aten::mm": 2, "aten::add": 1}


def test_a_warning_counts_for_the_library_s_innermost_line() -> None:
    code = "def wait(warn):\n    warn()\n"
    space: dict = {}
    exec(compile(code, f"{ROOT}/olivine/waits.py", "exec"), space)

    def warn() -> None:
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    with warned_waits() as places:
        space["wait"](warn)
        space["wait"](warn)
        warnings.warn("another", stacklevel=1)
    assert places == {(f"{ROOT}/olivine/waits.py", 2): 2}


def test_only_the_known_warning_is_not_printed() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with without_warning(".*clears events"):
            warnings.warn("Warning: Profiler clears events at the end of each.", stacklevel=1)
            warnings.warn("events are lost", stacklevel=1)
    assert [str(one.message) for one in seen] == ["events are lost"]


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_s_kernels_and_waits_are_seen(tmp_path) -> None:
    rows = torch.ones(100, 100, device="cuda")

    def call() -> None:
        (rows @ rows).relu_().sum().item()

    seen = profile(call, "cuda", tmp_path)
    assert seen is not None
    assert seen.num_kernels >= 3
    assert seen.num_waits() >= 1
    assert {"aten::mm", "aten::sum"} <= {row["name"] for row in seen.operations}
    assert waits_by_line(call, "cuda")[0]["count"] == 1
