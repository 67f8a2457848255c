"""Batches of images as large as the memory allows, and what labelling them costs.

Out of memory is no fault of an image: the batch is halved, the smaller size is remembered, and the
same images are tried again. Any other error belongs to one image of the batch, which is found by
trying them one by one.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.labels.labeller import Labeller
from olivine.labels.memory import _CudaMemory, _HostMemory, out_of_memory

MAX_IMAGES = 32  # of a batch whose size is measured
# A block costs the scheduler about 0.1 s whatever it holds; with ten batches in each, that is
# little beside the labeller. Towards the end blocks shrink, so that all actors end together.
BATCHES_PER_BLOCK = 10
BLOCKS_PER_ACTOR = 4


@dataclass(frozen=True)
class Usage:
    """What one actor has cost so far."""

    actor: str
    held_s: float  # since it began to load the labeller
    busy_s: float  # of that, in the labeller
    num_gpus: float  # that it holds


class BatchLabeller:
    """A loaded labeller that finds out how many images it can be given at once.

    `size` is the largest number of images per call; 0 measures it by the memory that the first
    image takes. `gpu_share` is the part of the GPU that is ours. Raises UserError if the labeller
    cannot be loaded.
    """

    def __init__(
        self,
        labeller: Labeller,
        device: torch.device,
        frames: Frames,
        size: int,
        *,
        gpu_share: float = 1.0,
        num_neighbours: int = 1,
    ):
        self._began_s = time.monotonic()
        self._busy_s = 0.0
        self._actor = uuid.uuid4().hex[:8]
        self._num_gpus = gpu_share if device.type == "cuda" else 0.0
        self._memory = (
            _CudaMemory(device, min(1.0, gpu_share))
            if device.type == "cuda"
            else _HostMemory(1.0 / num_neighbours)
        )
        try:
            self._label = labeller.build(device, frames)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise UserError(
                f"The labeller {labeller.kind!r} does not fit into the memory of its device "
                f"({reason_of(error)}); let fewer actors share it by "
                "--set runtime.gpus_per_label_actor=1 or --set runtime.num_label_actors=1."
            ) from None
        self.size = size

    @property
    def usage(self) -> Usage:
        """What it has cost so far."""
        held_s = time.monotonic() - self._began_s
        return Usage(self._actor, held_s, self._busy_s, self._num_gpus)

    def __call__(
        self, images: Sequence[np.ndarray | str], names: Sequence[str]
    ) -> list[np.ndarray | str]:
        """Return a map per image, or the reason why there is none.

        An image that is a reason instead keeps it.
        """
        began_s = time.monotonic()
        readable = [
            (image, name)
            for image, name in zip(images, names, strict=True)
            if not isinstance(image, str)
        ]
        maps: list[np.ndarray | str] = []
        while len(maps) < len(readable):
            maps += self._label_first(readable[len(maps) :])
        for (image, _), ids in zip(readable, maps, strict=True):
            assert isinstance(ids, str) or ids.shape == image.shape[:2], "map of another size"
        rest = iter(maps)
        self._busy_s += time.monotonic() - began_s
        return [image if isinstance(image, str) else next(rest) for image in images]

    def _label_first(self, rest: Sequence[tuple[np.ndarray, str]]) -> list[np.ndarray | str]:
        """Label as many as fit from the front; none where that was found to be too many."""
        if not self.size:
            return [self._label_measured(rest[0])]
        batch = rest[: self.size]
        maps, too_many = self._try(batch)
        if maps:
            return maps
        if too_many:
            self.size = len(batch) // 2
            return []
        return [self._label_one(one) for one in batch]

    def _label_one(self, one: tuple[np.ndarray, str]) -> np.ndarray | str:
        return self._try([one])[0][0]

    def _label_measured(self, one: tuple[np.ndarray, str]) -> np.ndarray | str:
        """Label one image and set the size by what it took; a bad image measures nothing."""
        self._memory.start()
        ids = self._label_one(one)
        if not isinstance(ids, str):
            self.size = min(MAX_IMAGES, max(1, self._memory.num_that_fit()))
        return ids

    def _try(self, batch: Sequence[tuple[np.ndarray, str]]) -> tuple[list[np.ndarray | str], bool]:
        """Return the maps, or none and whether memory was short; a single image has its reason."""
        try:
            maps = self._label(*map(list, zip(*batch, strict=True)))
        except Exception as error:  # whatever one image makes a network raise
            reason, too_many = reason_of(error), out_of_memory(error)
        else:
            assert len(maps) == len(batch), "the labeller must return one map per image"
            return list(maps), False
        if too_many and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # only now: the error held the tensors of its frames
        return ([reason] if len(batch) == 1 else []), too_many


def batch_cap(runtime: Runtime) -> int:
    """Return how many images a labeller is given at once at most."""
    return runtime.label_batch_size or MAX_IMAGES


def block_sizes(num_images: int, batch_size: int, num_actors: int) -> list[int]:
    """Return images per block: whole batches, so that none is short before the last."""
    sizes = []
    while num_images > 0:
        num_batches = -(-num_images // batch_size) // (num_actors * BLOCKS_PER_ACTOR)
        sizes.append(min(num_images, batch_size * min(BATCHES_PER_BLOCK, max(1, num_batches))))
        num_images -= sizes[-1]
    return sizes


def reason_of(error: BaseException) -> str:
    """Return an error as one line; a user's mistake speaks for itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
