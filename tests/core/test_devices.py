from pathlib import Path

import pytest
import torch

from olivine.core.devices import has_bfloat16, usable

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
