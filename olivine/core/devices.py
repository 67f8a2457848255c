"""Which device computes, and with which numbers. Torch is imported when something computes."""

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
    """Return whether the CPU multiplies in bfloat16; where it does not, torch is slower in it.

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
    """Return the device of `runtime.device`; raise UserError for a GPU that is not there."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "runtime.device=cuda, but torch sees no GPU here: install a CUDA build of torch, or "
            "use --set runtime.device=cpu."
        )
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)
