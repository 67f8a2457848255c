"""Which device computes, and with which numbers. Torch is imported when something computes."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olivine.core.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16", "float16"]

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # Intel's and AMD's, by Linux's names


@cache
def has_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Say whether the CPU multiplies in bfloat16; where it does not, torch is slower in it.

    A system that does not tell, by not being Linux, is taken to have none.
    """
    if not cpu_info.exists():
        return False
    return bool(BFLOAT16_FLAGS & set(cpu_info.read_text().split()))


def usable(wanted: "torch.dtype", device: "torch.device") -> "torch.dtype":
    """Return the numbers to compute with: those wanted, or float32 where they gain nothing.

    A GPU takes any. A CPU takes bfloat16 if it has instructions for it, and float16 never.
    """
    import torch

    if device.type == "cuda":
        return wanted
    half = wanted == torch.bfloat16 and has_bfloat16()
    return torch.bfloat16 if half else torch.float32


def autocast(device: "torch.device", precision: Precision) -> "torch.autocast":
    """Return a context in which networks multiply in that precision."""
    import torch

    half = precision != "float32"
    return torch.autocast(device.type, getattr(torch, precision), enabled=half)


def choose_device(wanted: str) -> "torch.device":
    """Return the device that a word names: auto, cpu, cuda, or cuda:1 for the second GPU.

    Raises UserError for another word and for a GPU that is not there.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted):
        raise UserError(f"A device is auto, cpu, cuda or cuda:NUMBER; it was given {wanted!r}.")
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise UserError(
            f"device={wanted} was asked for, but torch sees {num_gpus or 'no'} GPU"
            f"{'s' if num_gpus > 1 else ''} here: install a CUDA build of torch, or use the CPU by "
            "device=cpu (on the command line --set runtime.device=cpu)."
        )
    return device
