"""A cache of a teacher's feature maps, for images that are the same in every epoch.

If no augmentation changes images at random, a frozen network returns the same maps in every epoch
and for every seed. They are written below the output folder, one file per frame, as they were
computed:

<root>/teacher_maps/<fingerprint>/<frame's token>.npz

A file has a hash of its images, so the maps of one that was replaced are computed again. A loader
reads the cached maps and does not decode those images; a training computes the other maps, frame by
frame, and writes them. So a map depends on its frame's images alone, on any processor, and
trainings that read it are bit-equal to the one that made it.

Without the cache a teacher sees all images of a batch in one call. The rounding of a product
depends on its size and on the processor, so a cached map differs from such a map by rounding, in
float32 by less than 1e-5 of the largest value; weights differed by 4e-5 of their length after 8
steps.
"""

import io
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from olivine.core.checksums import DAMAGED, read_cached, write_checked
from olivine.core.errors import UserError
from olivine.core.hashing import value_hash
from olivine.core.storage import Store, absolute
from olivine.data.augmentations.base import Augmentation
from olivine.data.batch import Batch
from olivine.data.dataset import Frames
from olivine.models.teachers.base import Teacher

SETTING = "runtime.keep_teacher_maps"
VERSION = 1  # increased by a change of the files, or of how images are decoded and resized
# The order of a map's axes in memory, which is kept because the rounding of a sum depends on it. It
# is the name of a file's array, followed by the hash of the images.
_ORDERS = {"channels_first": (0, 1, 2, 3), "channels_last": (0, 2, 3, 1)}


@dataclass(frozen=True)
class TeacherMapCache:
    """Reads and writes the feature maps of frames; picklable, for loader processes.

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
    ) -> "TeacherMapCache":
        """Return the cache for the maps of one teacher and one way to make images.

        `image_size_px` is the size of augmented images, `precision` that of the training.
        """
        decides = [
            VERSION,
            teacher.code_version,
            teacher.fingerprint_fields(),
            teacher.identity,
            teacher.arithmetic(precision, device),
            frames.fingerprint,
            list(frames.camera_names),
            [
                part.fingerprint_fields()
                for part in augmentations
                if part.effect_on_images != "none"
            ],
        ]
        fingerprint = value_hash(decides)
        shape = teacher.num_channels, *teacher.map_size(*image_size_px)
        return cls(store, fingerprint, shape, teacher.dtype_on(device))

    @property
    def folder(self) -> str:
        """The folder of the maps below the store's root."""
        return f"teacher_maps/{self.fingerprint}"

    def num_bytes(self, num_images: int) -> int:
        """Return the size of the maps of `num_images` images."""
        return num_images * math.prod(self.shape) * self.dtype.itemsize

    def read(
        self, token: str, num_images: int, images_hash: str = ""
    ) -> Float[Tensor, "images D r c"] | None:
        """Return a frame's maps, equal to the last bit, or None if they are not in the cache.

        `images_hash` is that of the frame's images (`Sample.images_hash`): maps of other images are
        not returned. A file that is damaged or of another shape is renamed with a warning and
        counts as missing.
        """
        return read_cached(
            self.store,
            self._name(token),
            lambda data: self._parse(data, num_images, images_hash),
            token,
        )

    def _parse(
        self, data: bytes, num_images: int, images_hash: str
    ) -> Float[Tensor, "images D r c"] | None:
        """Return the maps; None if they are of other images, or of a version that recorded none."""
        with np.load(io.BytesIO(data)) as file:
            (name_in_file,) = file.files
            order, _, made_of = name_in_file.partition(".")
            array, axes = torch.from_numpy(file[name_in_file]), _ORDERS[order]
        maps = array.view(self.dtype).permute(*np.argsort(axes).tolist())
        if maps.shape != (num_images, *self.shape) or array.dtype != _stored(self.dtype):
            raise ValueError(f"it holds {array.dtype} of {tuple(maps.shape)}")
        return maps if made_of == images_hash else None

    def write(self, token: str, maps: Float[Tensor, "images D r c"], images_hash: str = "") -> None:
        """Write a frame's maps, with the hash of the images that they were made of."""
        assert maps.shape[1:] == self.shape, "a teacher's map_size is that of its maps"
        assert maps.dtype == self.dtype, "a teacher's dtype_on is that of its maps"
        order = _order(maps)
        array = maps.permute(_ORDERS[order]).contiguous().cpu().view(_stored(self.dtype))
        stream = io.BytesIO()
        name_in_file = f"{order}.{images_hash}" if images_hash else order
        np.savez(stream, **{name_in_file: array.numpy()})
        write_checked(self.store, self._name(token), stream.getbuffer(), token)

    def of_batch(
        self, teacher: Callable[[Tensor], Tensor], batch: Batch
    ) -> Float[Tensor, "images D r c"]:
        """Return the maps of all images of a batch; those that the loader did not find are made."""
        if all(batch.has_maps):
            assert batch.maps is not None
            return batch.maps
        maps, first, first_cached = [], 0, 0
        for token, number, is_cached, images_hash in zip(
            batch.tokens, batch.num_images, batch.has_maps, batch.images_hashes, strict=True
        ):
            if is_cached:
                assert batch.maps is not None
                maps.append(batch.maps[first_cached : first_cached + number])
                first_cached += number
                continue
            made = teacher(batch.images[first : first + number])
            axes = _ORDERS[_order(made)]  # the same memory layout as when it is read
            made = made.permute(axes).contiguous().permute(*np.argsort(axes).tolist())
            self.write(token, made, images_hash)
            maps.append(made)
            first += number
        return torch.cat(maps)

    def announce(self, num_frames: int, num_images: int, *, prints: bool = True) -> None:
        """Print the size of all frames' maps, `num_images` each, and of the cached ones.

        Raises UserError if the local disk has no room for the rest.
        """
        total = num_frames * self.num_bytes(num_images)
        files = self.store.sizes_and_times(self.folder, recursive=True)
        there = sum(size for name, (size, _) in files.items() if not name.endswith(DAMAGED))
        where = self.store.path(self.folder)
        if prints:
            sys.stderr.write(
                f"teacher's maps: {total / 1e9:.3g} GB for {num_frames} frames in {where}, "
                f"{there / 1e9:.3g} GB of it cached already\n"
            )
        free = _free_bytes(self.store)
        if total - there > free:
            raise UserError(
                f"{SETTING}=true keeps {total / 1e9:.3g} GB in {where}, of which "
                f"{there / 1e9:.3g} GB are cached already, and its disk has {free / 1e9:.3g} GB "
                f"free: make room, choose a teacher with smaller maps, or use "
                f"--set {SETTING}=false."
            )

    def _name(self, token: str) -> str:
        return f"{self.folder}/{token}.npz"


def require_fixed_images(augmentations: Mapping[str, Augmentation | None]) -> None:
    """Raise UserError, with the settings to change, if an augmentation changes images at random."""
    for name, part in augmentations.items():
        if part is None or part.effect_on_images != "random":
            continue
        setting = f"pretrained.augmentations.{name}"
        fixes = " ".join(f"--set {setting}.{key}={x}" for key, x in part.fixes_images.items())
        way = (
            f"use {fixes}, as recipe scalr has it"
            if fixes
            else f"leave it out by --set {setting}=null"
        )
        raise UserError(
            f"{SETTING}=true needs images that are the same in every epoch, and {setting} changes "
            f"them at random: {way}, or use --set {SETTING}=false."
        )


def _order(maps: Tensor) -> str:
    """Return the order of a map's axes in memory."""
    return "channels_last" if maps.stride(1) == 1 and maps.shape[1] > 1 else "channels_first"


def _stored(dtype: torch.dtype) -> torch.dtype:
    """Return the number format that holds these bits in a file, since numpy has no bfloat16."""
    return torch.int16 if dtype == torch.bfloat16 else dtype


def _free_bytes(store: Store) -> float:
    """Return the free bytes of a folder's disk; a bucket's are infinite.

    The folder may not have been made yet.
    """
    root = absolute(store.root)
    if not isinstance(root, Path):
        return math.inf
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    return float(shutil.disk_usage(there).free)
