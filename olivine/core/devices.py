"""The device that computes and its number formats. Torch is imported when a function needs it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olivine.core.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16", "float16"]

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # of Intel and AMD, as Linux names them


@cache
def has_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Return whether the CPU has bfloat16 instructions; without them torch is slower in it.

    A system without the file `cpu_info` (any but Linux) counts as one without them.
    """
    if not cpu_info.exists():
        return False
    return bool(BFLOAT16_FLAGS & set(cpu_info.read_text().split()))


def usable(wanted: "torch.dtype", device: "torch.device") -> "torch.dtype":
    """Return the number format to compute in: `wanted`, or float32 where that would not be faster.

    A GPU takes any format. A CPU takes bfloat16 if it has instructions for it, and float16 never.
    """
    import torch

    if device.type == "cuda":
        return wanted
    half = wanted == torch.bfloat16 and has_bfloat16()
    return torch.bfloat16 if half else torch.float32


@contextmanager
def autocast(device: "torch.device", wanted: "Precision | torch.dtype") -> Iterator[None]:
    """Multiply in a number format within this context; float32 changes nothing and is exact.

    Torch's own default rounds float32 to TF32 in the convolutions of cuDNN. A backward pass is in
    the format of its forward pass, but for TF32, which is what holds where it is called.
    """
    import torch

    dtype = getattr(torch, wanted) if isinstance(wanted, str) else wanted
    half = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
    with tf32_products(allowed=False), half:
        yield


@contextmanager
def tf32_products(*, allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 within this context; torch's settings are the process's, and go back."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = allowed
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def choose_device(wanted: str) -> "torch.device":
    """Return the device of a name: auto, cpu, cuda, or cuda:1 for the second GPU.

    Raises UserError for another name and for a missing GPU.
    """
    import torch

    if not (isinstance(wanted, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted)):
        raise UserError(f"A device is auto, cpu, cuda or cuda:NUMBER; it was given {wanted!r}.")
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise UserError(
            f"device={wanted} was requested, but torch sees {num_gpus or 'no'} GPU"
            f"{'s' if num_gpus > 1 else ''} here: install a CUDA build of torch, or use the CPU by "
            "device=cpu (on the command line --set runtime.device=cpu)."
        )
    return device
