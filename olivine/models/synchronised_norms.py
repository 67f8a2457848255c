"""Batch norms of networks that several processes train: all use the statistics of all workers.

torch's `convert_sync_batchnorm` makes a SyncBatchNorm of every subclass of its batch norms, whose
own methods and attributes are lost, and of a layer used in two places it makes two. Its layers
refuse CPU tensors, and a worker without rows in half precision. Here the layers stay and only their
training is another.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from olivine.core.errors import UserError
from olivine.models.sparse.batch_norm import normalise_together, num_workers

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DECLARATION = "statistics_of_all_workers"  # attribute of a class that needs no help


def synchronise_batch_norms(network: nn.Module) -> None:
    """Let a network's batch norms, in training, use the statistics of all workers' rows.

    torch's own classes are changed; weights, their names and everything else stay. A class that is
    derived from them does what only its author knows: with `statistics_of_all_workers = True` it
    is left alone, as `RowBatchNorm` and torch's SyncBatchNorm are. Without it, it raises UserError
    if it is in training mode, since its statistics, and so the results, would be those of one
    worker's rows. In a single process nothing changes.
    """
    if num_workers() == 1:
        return
    for name, module in network.named_modules():
        if type(module) in PLAIN:
            module.forward = partial(_normalise, module, module.forward)
        elif isinstance(module, _BatchNorm) and module.training:
            _require_declaration(name, module)


def _normalise(norm: _BatchNorm, alone: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    if not norm.training:
        return alone(input)
    norm._check_input_dim(input)
    if input.ndim == 2:
        return normalise_together(norm, input)
    last = input.movedim(1, -1)
    rows = normalise_together(norm, last.reshape(-1, last.shape[-1]))
    return rows.reshape(last.shape).movedim(-1, 1)


def _require_declaration(name: str, module: nn.Module) -> None:
    if isinstance(module, nn.SyncBatchNorm) or getattr(module, DECLARATION, False):
        return
    raise UserError(
        f"The network's layer {name} is a {type(module).__name__}, derived from torch's batch "
        "norms, and several workers cannot train it: each would have the statistics of its own "
        "rows alone. Take torch's own class, derive it from "
        "olivine.models.sparse.batch_norm.RowBatchNorm, or train with runtime.num_workers=1; if "
        f"it uses the rows of all workers, say so in the class by {DECLARATION} = True."
    )
