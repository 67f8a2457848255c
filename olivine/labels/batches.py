"""Batches of images as large as the memory allows.

When the memory is short, no image is at fault: the batch is halved, the smaller size is remembered,
and the same images are tried again. Any other error belongs to one image of the batch, which is
found by trying the images one by one.
"""

import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.labels.labeller import Labeller
from olivine.labels.memory import _CudaMemory, _HostMemory, out_of_memory
from olivine.labels.records import FailedImage, LabelledImage, ReadImage, Usage, failure_reason

_Tried = LabelledImage | FailedImage

warn = logging.getLogger("olivine").warning

MAX_IMAGES = 32  # in a batch whose size is measured
# A block takes the scheduler about 0.1 s whatever its size, which is little for ten batches.
# Towards the end blocks become smaller, so that all actors end together.
BATCHES_PER_BLOCK = 10
BLOCKS_PER_ACTOR = 4


class BatchLabeller:
    """A loaded labeller that finds out how many images it can label at once.

    `size` is the largest number of images per call; with 0 it is derived from the memory that the
    first image takes. `gpu_share` is the share of the GPU that this labeller may use,
    `num_neighbours` the number of labellers on the machine. Raises UserError if the labeller cannot
    be loaded.
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
        self._kind = labeller.kind
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
                f"({failure_reason(error)}); let fewer actors share it by "
                "--set runtime.gpus_per_label_actor=1 or --set runtime.num_label_actors=1."
            ) from None
        self.size = size

    @property
    def usage(self) -> Usage:
        """What this actor has used so far."""
        held_s = time.monotonic() - self._began_s
        return Usage(self._actor, held_s, self._busy_s, self._num_gpus)

    def __call__(
        self, images: Sequence[ReadImage | FailedImage]
    ) -> list[LabelledImage | FailedImage]:
        """Return the images in their order, each labelled or with the reason why it is not.

        An image that failed before stays as it is.
        """
        began_s = time.monotonic()
        readable = [image for image in images if isinstance(image, ReadImage)]
        tried: list[_Tried] = []
        while len(tried) < len(readable):
            tried += self._label_first(readable[len(tried) :])
        rest = iter(tried)
        self._busy_s += time.monotonic() - began_s
        return [image if isinstance(image, FailedImage) else next(rest) for image in images]

    def _label_first(self, rest: Sequence[ReadImage]) -> list[_Tried]:
        """Label as many of the first images as fit; return an empty list if fewer must be tried."""
        if not self.size:
            return [self._label_measured(rest[0])]
        batch = rest[: self.size]
        tried, too_many = self._try(batch)
        if tried:
            return tried
        if too_many:
            self.size = len(batch) // 2
            warn(
                f"{len(batch)} images at once need more memory than there is; {self.size} are "
                "labelled at once from here on."
            )
            return []
        return [self._label_one(image) for image in batch]

    def _label_one(self, image: ReadImage) -> _Tried:
        return self._try([image])[0][0]

    def _label_measured(self, image: ReadImage) -> _Tried:
        """Label one image and set the size by the memory it took; a failure measures nothing."""
        self._memory.start()
        tried = self._label_one(image)
        if isinstance(tried, LabelledImage):
            self.size = min(MAX_IMAGES, max(1, self._memory.num_that_fit()))
        return tried

    def _try(self, batch: Sequence[ReadImage]) -> tuple[list[_Tried], bool]:
        """Return the labelled images, or none, and whether memory was short.

        A batch of one image returns that image with the reason of its failure.
        """
        try:
            maps = self._label([image.pixels for image in batch], [image.name for image in batch])
        except Exception as error:  # of any kind: it depends on the image and the network
            reason, too_many = failure_reason(error), out_of_memory(error)
        else:
            return self._labelled(batch, maps), False
        if too_many and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # not earlier: the error held the tensors of its frames
        return ([FailedImage(batch[0].name, reason)] if len(batch) == 1 else []), too_many

    def _labelled(self, batch: Sequence[ReadImage], maps: Any) -> list[_Tried]:
        """Return images with their maps; raise UserError if these are not maps of these images."""
        if not isinstance(maps, Sequence | np.ndarray):
            raise UserError(self._wrong(f"a value of type {type(maps).__name__}"))
        if len(maps) != len(batch):
            raise UserError(self._wrong(f"{len(maps)} maps for {len(batch)} images"))
        for image, ids in zip(batch, maps, strict=True):
            rows, columns = image.pixels.shape[:2]
            where = f"for {image.name}, of {rows} rows and {columns} columns"
            if not isinstance(ids, np.ndarray):
                raise UserError(self._wrong(f"a value of type {type(ids).__name__} {where}"))
            if (ids.shape, ids.dtype) != ((rows, columns), np.uint8):
                raise UserError(self._wrong(f"{ids.dtype} of shape {ids.shape} {where}"))
        return [
            LabelledImage(image.name, ids, image.made_of)
            for image, ids in zip(batch, maps, strict=True)
        ]

    def _wrong(self, what: str) -> str:
        return (
            f"The labeller {self._kind!r} returned {what}, and it must return one map of uint8 "
            "(rows, columns) for each image. olivine.testing.check_labeller finds such mistakes "
            "before a run."
        )


def batch_cap(runtime: Runtime) -> int:
    """Return the largest number of images per call of a labeller."""
    return runtime.label_batch_size or MAX_IMAGES


def block_sizes(num_images: int, batch_size: int, num_actors: int) -> list[int]:
    """Return the images per block: whole batches, so that only the last can be short."""
    sizes = []
    while num_images > 0:
        num_batches = -(-num_images // batch_size) // (num_actors * BLOCKS_PER_ACTOR)
        sizes.append(min(num_images, batch_size * min(BATCHES_PER_BLOCK, max(1, num_batches))))
        num_images -= sizes[-1]
    return sizes
