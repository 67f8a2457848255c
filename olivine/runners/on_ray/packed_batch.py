"""A batch on its way between processes: a pickle, and the memory of its tensors without a copy."""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from olivine.data.batch import Batch


def packed(batch: Batch) -> list[memoryview]:
    """Return a batch as a pickle, and the memory of its tensors, which is not copied."""
    head, memory = io.BytesIO(), list[pickle.PickleBuffer]()
    _Packer(head, protocol=5, buffer_callback=memory.append).dump(batch)
    return [head.getbuffer(), *(part.raw() for part in memory)]


def unpacked(parts: Sequence[Any]) -> Batch:
    """Return the batch of `packed`, in new memory."""
    head, *memory = parts
    return pickle.loads(head, buffers=memory)


class _Packer(pickle.Pickler):
    """Pickles a batch without the memory of its tensors."""

    def reducer_override(self, thing: Any) -> Any:
        """Reduce a tensor, with its dimensions in the order of its memory."""
        if not isinstance(thing, Tensor):
            return NotImplemented
        order = sorted(range(thing.dim()), key=thing.stride, reverse=True)
        dense = thing.permute(order).contiguous()
        memory = pickle.PickleBuffer(dense.reshape(-1).view(torch.uint8).numpy().data)
        return _tensor, (memory, thing.dtype, dense.shape, order)


def _tensor(memory: Any, dtype: torch.dtype, shape: Sequence[int], order: list[int]) -> Tensor:
    # Memory of the object store is read-only, and would be held as long as the batch.
    dense = torch.empty(shape, dtype=dtype, pin_memory=torch.cuda.is_available())
    np.copyto(dense.view(-1).view(torch.uint8).numpy(), np.frombuffer(memory, np.uint8))
    return dense.permute(np.argsort(order).tolist())
