from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from olivine.core.devices import Precision, autocast, has_bfloat16, tf32_products, usable

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("flags\t\t: fpu sse2 avx512f avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu sse2\nflags\t\t: fpu amx_bf16", True),
        ("flags\t\t: fpu sse2 avx512f avx512_fp16", False),
        ("model name\t: a chip called not_avx512_bf16_at_all", False),
    ],
)
def test_a_cpu_is_known_by_its_flags(tmp_path: Path, text: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(tmp_path / "cpuinfo") is has
    assert has_bfloat16(tmp_path / "missing") is False


@pytest.mark.parametrize("has", [False, True])
def test_a_cpu_takes_bfloat16_where_it_gains_by_it_and_float16_never(
    has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olivine.core.devices.has_bfloat16", lambda: has)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        assert usable(dtype, GPU) == dtype
        takes = has and dtype == torch.bfloat16
        assert usable(dtype, CPU) == (dtype if takes else torch.float32)


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(params=[(False, True), (True, False)])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    """Set what holds around a context, and set it back."""
    kept = allowed()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = request.param
    yield request.param
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


@pytest.mark.parametrize("precision", ["float32", "bfloat16", torch.float32, torch.bfloat16])
def test_float32_is_not_rounded_to_tf32_in_a_context_of_ours_and_is_as_before_behind_it(
    before: tuple[bool, bool], precision: Precision | torch.dtype
) -> None:
    with suppress(RuntimeError), autocast(CPU, precision):
        assert allowed() == (False, False)
        assert torch.is_autocast_enabled("cpu") == ("bfloat16" in str(precision))
        raise RuntimeError
    assert allowed() == before


def test_tf32_may_be_allowed_inside_a_context_that_forbids_it(before: tuple[bool, bool]) -> None:
    with autocast(CPU, "float32"):
        with tf32_products(allowed=True):
            assert allowed() == (True, True)
        assert allowed() == (False, False)
    assert allowed() == before
