"""What the card can do: matrix products by number format, and a copy in its memory."""

from collections.abc import Iterator

import torch

from tools.gpu_check.report import Finding, Setup, measured
from tools.gpu_check.timing import milliseconds

FORMATS = (torch.float32, torch.bfloat16, torch.float16)


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the rates of products of large matrices, and of a copy counted read and written."""
    size = 512 if setup.is_small else 8192
    for dtype in FORMATS:
        left, right = (torch.randn(size, size, device=setup.device, dtype=dtype) for _ in range(2))
        spent_ms = milliseconds(lambda a=left, b=right: a @ b, setup.device)
        rate = 2 * size**3 / spent_ms / 1e9
        name = str(dtype).removeprefix("torch.")
        yield measured("peaks", f"product of {size}² in {name}", f"{rate:.1f} TFLOP/s", tflops=rate)
    source = torch.randn(1 << (20 if setup.is_small else 30), device=setup.device)
    target = torch.empty_like(source)
    spent_ms = milliseconds(lambda: target.copy_(source), setup.device)
    rate = 2 * source.nbytes / spent_ms / 1e9
    yield measured("peaks", "copy, read and written", f"{rate:.2f} TB/s", terabytes_per_s=rate)
