"""Networks compiled by torch, where that is possible."""

from functools import cache
from typing import TypeVar

import torch
from torch import nn

from olivine.core.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


def compiled(network: Network, device: torch.device, setting: str) -> Network:
    """Let a network be compiled when it first runs; the names of its weights stay.

    A copy of it, or one in another process, is not compiled. Raises UserError that names `setting`
    if networks cannot be compiled for the device.
    """
    reason = _refusal(device.type)
    if reason:
        needed = "triton and a C compiler" if device.type == "cuda" else "a C++ compiler"
        raise UserError(
            f"{setting}=true: torch.compile fails on this machine ({reason}); install {needed} "
            f"(g++ is in Debian's build-essential), or use --set {setting}=false."
        )
    network.compile()
    return network


@cache
def _refusal(device_type: str) -> str:
    """Return why a small function cannot be compiled, or ""."""
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.zeros(8, device=device_type))
    except Exception as error:  # a missing compiler raises any of several types
        lines = str(error).strip().splitlines()
        return lines[0].rstrip(".") if lines else type(error).__name__
    return ""
