"""What the processor of this machine can compute with."""

from functools import cache
from pathlib import Path

import torch

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


def usable(wanted: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the numbers to compute with: those wanted, or float32 where they gain nothing.

    A GPU takes any. A CPU takes bfloat16 if it has instructions for it, and float16 never.
    """
    if device.type == "cuda":
        return wanted
    half = wanted == torch.bfloat16 and has_bfloat16()
    return torch.bfloat16 if half else torch.float32
