"""What a teacher said of images that are the same every time, kept instead of asked again.

Where no augmentation changes images by chance, a frozen network says the same in every epoch and
for every seed. Its maps are kept below the output folder, a file per frame, as they were computed:

<root>/teacher_maps/<fingerprint>/<frame's token>.npz

A loader reads what is kept and does not decode those images; a training asks the teacher for the
rest, frame by frame, and keeps that. So a map depends on its frame's images alone, on any
processor, and trainings that read it are bit-equal to the one that made it.

Without kept maps a teacher sees all images of a batch in one call. How a product rounds depends on
its size and on the processor, so a kept map differs from that one by rounding, in float32 by less
than 1e-5 of the largest value; weights were 4e-5 of their length apart after 8 steps.
"""

import io
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from olivine.core.errors import UserError
from olivine.core.hashing import value_hash
from olivine.core.storage import Store, absolute
from olivine.data.augmentations.base import Augmentation
from olivine.data.batch import Batch
from olivine.data.dataset import Frames
from olivine.models.teachers.base import Teacher

SETTING = "runtime.keep_teacher_maps"
VERSION = 1  # raised by a change of the files, or of how images are decoded and resized
# In which order a map's axes lie in memory. A sum over a map rounds by it, so it is kept.
_ORDERS = {"channels_first": (0, 1, 2, 3), "channels_last": (0, 2, 3, 1)}


@dataclass(frozen=True)
class TeacherMaps:
    """Reads and keeps the maps of frames; picklable, for loader processes.

    `shape` is that of one image's map: channels, rows, columns.
    """

    store: Store
    fingerprint: str
    shape: tuple[int, int, int]
    dtype: torch.dtype

    @classmethod
    def open(
        cls,
        store: Store,
        teacher: Teacher,
        frames: Frames,
        *,
        augmentations: Sequence[Augmentation],
        image_size_px: tuple[int, int],
        precision: str,
        device: torch.device,
    ) -> "TeacherMaps":
        """Return the place for the maps of one teacher and one way to make images.

        `image_size_px` is what the augmentations make of an image, `precision` the training's.
        """
        decides = [
            VERSION,
            teacher.code_version,
            teacher.what_decides(),
            teacher.identity,
            teacher.arithmetic(precision, device),
            frames.fingerprint,
            list(frames.camera_names),
            [part.what_decides() for part in augmentations if part.effect_on_images != "none"],
        ]
        fingerprint = value_hash(decides)
        shape = teacher.num_channels, *teacher.map_size(*image_size_px)
        return cls(store, fingerprint, shape, teacher.dtype_on(device))

    @property
    def folder(self) -> str:
        """Where they lie below the store's root."""
        return f"teacher_maps/{self.fingerprint}"

    def num_bytes(self, num_images: int) -> int:
        """Return what the maps of so many images take."""
        return num_images * math.prod(self.shape) * self.dtype.itemsize

    def read(self, token: str, num_images: int) -> Float[Tensor, "images D r c"] | None:
        """Return a frame's maps to the last bit, or None where none are kept.

        A file that is damaged or of another shape is passed over with a warning.
        """
        name = self._name(token)
        if not self.store.exists(name):
            return None
        data = self.store.read(name)
        try:
            with np.load(io.BytesIO(data)) as file:
                (order,) = file.files
                kept, axes = torch.from_numpy(file[order]), _ORDERS[order]
            maps = kept.view(self.dtype).permute(*np.argsort(axes).tolist())
            if maps.shape == (num_images, *self.shape) and kept.dtype == _stored(self.dtype):
                return maps
            reason = f"it holds {kept.dtype} of {tuple(maps.shape)}"
        except Exception as error:  # a broken archive raises half a dozen types
            reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"The teacher's maps in {self.store.path(name)} cannot be used ({reason}) and are made "
            "again.",
            stacklevel=2,
        )
        return None

    def write(self, token: str, maps: Float[Tensor, "images D r c"]) -> None:
        """Keep a frame's maps."""
        assert maps.shape[1:] == self.shape, "a teacher's map_size is that of its maps"
        assert maps.dtype == self.dtype, "a teacher's dtype_on is that of its maps"
        order = _order(maps)
        kept = maps.permute(_ORDERS[order]).contiguous().cpu().view(_stored(self.dtype))
        stream = io.BytesIO()
        np.savez(stream, **{order: kept.numpy()})
        self.store.write(self._name(token), stream.getvalue())

    def of_batch(
        self, teacher: Callable[[Tensor], Tensor], batch: Batch
    ) -> Float[Tensor, "images D r c"]:
        """Return the maps of all images of a batch; those the loader did not find are made."""
        if all(batch.has_maps):
            assert batch.maps is not None
            return batch.maps
        maps, first, first_kept = [], 0, 0
        for token, number, kept in zip(batch.tokens, batch.num_images, batch.has_maps, strict=True):
            if kept:
                assert batch.maps is not None
                maps.append(batch.maps[first_kept : first_kept + number])
                first_kept += number
                continue
            made = teacher(batch.images[first : first + number])
            axes = _ORDERS[_order(made)]  # as it will lie when it is read
            made = made.permute(axes).contiguous().permute(*np.argsort(axes).tolist())
            self.write(token, made)
            maps.append(made)
            first += number
        return torch.cat(maps)

    def announce(self, num_frames: int, num_images: int, *, speaks: bool = True) -> None:
        """Say how much all frames' maps will take, `num_images` each, and how much is there.

        Raises UserError if the local disk has no room for the rest.
        """
        total = num_frames * self.num_bytes(num_images)
        there = sum(
            size for size, _ in self.store.sizes_and_times(self.folder, recursive=True).values()
        )
        where = self.store.path(self.folder)
        if speaks:
            sys.stderr.write(
                f"teacher's maps: {total / 1e9:.3g} GB for {num_frames} frames in {where}, "
                f"{there / 1e9:.3g} GB of it is there\n"
            )
        free = _free_bytes(self.store)
        if total - there > free:
            raise UserError(
                f"{SETTING}=true keeps {total / 1e9:.3g} GB in {where}, of which "
                f"{there / 1e9:.3g} GB is there, and its disk has {free / 1e9:.3g} GB free: make "
                f"room, choose a teacher with smaller maps, or use --set {SETTING}=false."
            )

    def _name(self, token: str) -> str:
        return f"{self.folder}/{token}.npz"


def require_fixed_images(augmentations: Mapping[str, Augmentation | None]) -> None:
    """Raise UserError, with the settings to change, if one changes images by chance."""
    for name, part in augmentations.items():
        if part is None or part.effect_on_images != "random":
            continue
        place = f"pretrained.augmentations.{name}"
        fixes = " ".join(f"--set {place}.{key}={x}" for key, x in part.fixes_images.items())
        way = (
            f"use {fixes}, as recipe scalr has it"
            if fixes
            else f"leave it out by --set {place}=null"
        )
        raise UserError(
            f"{SETTING}=true needs images that are the same in every epoch, and {place} changes "
            f"them by chance: {way}, or use --set {SETTING}=false."
        )


def _order(maps: Tensor) -> str:
    """Return how a map's axes lie in memory."""
    return "channels_last" if maps.stride(1) == 1 and maps.shape[1] > 1 else "channels_first"


def _stored(dtype: torch.dtype) -> torch.dtype:
    """Return the numbers that hold these bits in a file: numpy has no bfloat16."""
    return torch.int16 if dtype == torch.bfloat16 else dtype


def _free_bytes(store: Store) -> float:
    """Return what is free on the disk of a folder that may not be there yet; a bucket has room."""
    place = absolute(store.root)
    if not isinstance(place, Path):
        return math.inf
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    return float(shutil.disk_usage(there).free)
