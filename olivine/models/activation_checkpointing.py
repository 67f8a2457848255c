"""Activation checkpointing: the backward pass recomputes activations of blocks, to save memory.

It is torch's non-reentrant checkpoint (Chen et al., "Training Deep Nets with Sublinear Memory
Cost", 2016). A block's buffers, such as the statistics of batch norms, are updated once: its second
run uses copies of them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from olivine.core.errors import UserError


@runtime_checkable
class InBlocks(Protocol):
    """A network that names the blocks whose activations can be recomputed."""

    def blocks(self) -> Iterable[nn.Module]:
        """Return modules, none within another, that hold most of the activations."""
        ...


def recompute_activations(network: nn.Module, kind: str) -> None:
    """Let a network keep only the inputs of its blocks; weights and their names stay.

    `kind` is the network's name for the UserError that a network without blocks raises. Values and
    gradients are equal to the last bit on a CPU.
    """
    if not isinstance(network, InBlocks):
        raise UserError(
            f"runtime.recompute_activations=true: backbone.kind={kind} has no blocks to recompute; "
            "leave it false, or take fewer frames at a time by pretrained.accumulated_parts."
        )
    for block in network.blocks():
        block.forward = partial(_twice, block, block.forward)


def _twice(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _on_copies(block)

    return checkpoint(partial(forward, **named), *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _on_copies(block: nn.Module) -> Iterator[None]:
    """Give every module of a block copies of its buffers, and restore its own at the end."""
    own = [(module, dict(module._buffers)) for module in block.modules()]
    for module, buffers in own:
        for name, buffer in buffers.items():
            module._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for module, buffers in own:
            module._buffers.update(buffers)
