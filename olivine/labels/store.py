"""Label maps on disk: one PNG per image, below a folder that names the data and the labeller.

    <root>/labels/<data set>-<labeller>/labeller.json        the labeller and its vocabulary
    <root>/labels/<data set>-<labeller>/<image's path>.png   one channel of uint8; 255 is no class
    <root>/labels/<data set>-<labeller>/images.tsv           the image that each map was made of
    <root>/labels/<data set>-<labeller>/failed/<image's path>.txt   why an image has no map

The folder's name holds two fingerprints, so labels of another data set or another labeller can
never be mistaken for these. The first is of the data set's tables, so all splits share their maps.
Each map knows its image (a text in the PNG: size and hash of the image's file): one whose image has
changed is not used, and is made again, alone. `images.tsv` repeats these texts, so that a start
reads one file instead of all maps. Stores of versions before 0.3 (format 1) lack both.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from olivine.core.array_cache import ArrayCache
from olivine.core.checksums import DamagedError, read_checked, set_aside, write_checked
from olivine.core.errors import UserError
from olivine.core.storage import Store, absolute
from olivine.data.dataset import Frames
from olivine.data.identity.split import identity_of
from olivine.data.images import CameraImage, EncodedImage
from olivine.data.records import IGNORE
from olivine.labels.image_list import ImageList
from olivine.labels.labeller import Labeller
from olivine.labels.map_file import decode_map, encode_map, record_of

FORMAT = 2  # of labeller.json and of the maps; 1 did not record the images
_ABOUT = "labeller.json"
_FAILED = "failed/"  # folder of the records of failures


class LabelStore:
    """Label maps of one data set by one labeller, below a local root or a bucket's URI."""

    def __init__(self, root: str | Path, dataset_fingerprint: str, labeller_identity: str):
        self.dataset_fingerprint = dataset_fingerprint
        self.labeller_identity = labeller_identity
        # Absolute, because another process may have another working directory.
        self._store = Store(absolute(root))
        self._folder = f"labels/{dataset_fingerprint}-{labeller_identity}"

    @classmethod
    def open(
        cls, root: str | Path, dataset_fingerprint: str, labeller_identity: str
    ) -> "LabelStore":
        """Return a store that has labels; raise UserError if none were written there."""
        store = cls(root, dataset_fingerprint, labeller_identity)
        _ = store.class_names
        return store

    @classmethod
    def of(cls, root: str | Path, frames: Frames, labeller: Labeller) -> "LabelStore":
        """Return the store of a labeller's maps of some frames, which may not have been begun.

        A labeller that reads scans or point labels has a store of its own for each state of them.
        """
        return cls(root, identity_of(frames).of(*labeller.reads), labeller.identity)

    @classmethod
    def before_0_3(cls, root: str | Path, frames: Frames, labeller: Labeller) -> "LabelStore":
        """Return the store in which a version before 0.3 would have left these maps."""
        return cls(root, identity_of(frames).before_0_3, labeller.identity)

    @property
    def is_begun(self) -> bool:
        """Whether the description of the labeller is there."""
        return self._store.exists(self._name(_ABOUT))

    @property
    def records_images(self) -> bool:
        """Whether the maps know their images; those of a version before 0.3 do not."""
        return self._about[2] > 1

    @property
    def path(self) -> str:
        """The folder of the maps, to be shown to people."""
        return self._store.path(self._folder)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The vocabulary of the maps, in which ids are positions; of segments it is empty."""
        return self._about[1]

    @property
    def makes(self) -> str:
        """The meaning of the ids: "classes", or "segments" from 0 to 254 within an image."""
        return self._about[0]

    @cached_property
    def _about(self) -> tuple[str, tuple[str, ...], int]:
        if not self._store.exists(self._name(_ABOUT)):
            raise UserError(
                f"No labels at {self.path}; run `olivine label` with the same dataset, labeller "
                "and out first."
            )
        about = self._read_json(_ABOUT)
        given = (about.get("dataset"), about.get("identity"))
        wanted = (self.dataset_fingerprint, self.labeller_identity)
        version = about.get("format")
        makes, names = about.get("makes", "classes"), about.get("class_names")
        allowed = {"classes": range(1, IGNORE), "segments": range(1)}.get(str(makes), range(0))
        known = given == wanted and version in range(1, FORMAT + 1)
        if not known or not isinstance(names, list) or len(names) not in allowed:
            raise UserError(
                f"{self._store.path(self._name(_ABOUT))} does not describe the labels beside it; "
                "remove the folder and run `olivine label` again."
            )
        return str(makes), tuple(str(name) for name in names), int(str(version))

    def begin(self, labeller: Labeller) -> None:
        """Write the description of the labeller, unless it is there; then maps may be written.

        A description of a version before 0.3 is replaced.
        """
        if not self.is_begun or not self.records_images:
            self.__dict__.pop("_about", None)
            about = {
                "format": FORMAT,
                "dataset": self.dataset_fingerprint,
                "identity": self.labeller_identity,
                "makes": labeller.makes,
                "class_names": list(labeller.class_names),
                "ignore_id": IGNORE,
                "labeller": labeller.to_dict(),
            }
            self._write_json(_ABOUT, about)
        _ = self.class_names  # checked once, for every process that gets this store

    def listing(self) -> tuple[set[str], set[str]]:
        """Return the label files and the images with a recorded failure, by one listing.

        `label_map_name` gives an image's file.
        """
        skip = len(self._folder) + 1
        finished, failed = set(), set()
        for path in self._store.names(self._folder):
            name = path[skip:]
            if name.endswith(".png"):
                finished.add(name)
            elif name.startswith(_FAILED) and name.endswith(".txt"):
                failed.add(name[len(_FAILED) : -len(".txt")])
        return finished, failed

    def clear(self) -> None:
        """Remove every map, every recorded failure and every cache made from the maps."""
        for name in self._store.names(self._folder):
            self._store.delete(name)

    def write(
        self, image_name: str, ids: UInt8[np.ndarray, "rows columns"], made_of: str = ""
    ) -> None:
        """Write one map, with the record of its image; equal maps of it give equal bytes."""
        name = self._name(label_map_name(image_name))
        write_checked(self._store, name, encode_map(ids, made_of), image_name)

    def read(
        self, image_name: str, size_px: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "rows columns"]:
        """Return the class or segment of each pixel of one image, or IGNORE.

        `size_px` are the rows and columns that the map must have; None takes any size.
        Raises UserError for a map that is missing, unreadable, of another size, or that has a
        class the vocabulary does not know.
        """
        return self._read(image_name, size_px)[0]

    def read_for(self, image_name: str, image: CameraImage) -> UInt8[np.ndarray, "rows columns"]:
        """Return the map of an image that is at hand.

        Raises UserError as `read` does, and for a map that was made of another image.
        """
        ids, made_of = self._read(image_name, image.size_px)
        if made_of and isinstance(image, EncodedImage) and made_of != record_of(image):
            where = self._store.path(self._name(label_map_name(image_name)))
            raise UserError(
                f"Label map {where} was made of another image than {image_name} is now ({made_of} "
                f"then, {record_of(image)} now: bytes and hash): remove the map and run `olivine "
                "label` again, it makes only what is missing."
            )
        return ids

    def _read(self, image_name: str, size_px: tuple[int, int] | None) -> tuple[np.ndarray, str]:
        """Return a checked map and the record of its image; "" without one."""
        name = self._name(label_map_name(image_name))
        where = self._store.path(name)
        if not self._store.exists(name):
            raise UserError(
                f"No label map of {image_name}: {where} is missing; run `olivine label` with the "
                "same dataset, labeller and out, it makes only what is missing."
            )
        ids, made_of = self._decoded(name, image_name)
        if size_px is not None and ids.shape != tuple(size_px):
            raise UserError(
                f"Label map {where} has {ids.shape[0]} rows and {ids.shape[1]} columns, its image "
                f"{size_px[0]} and {size_px[1]}; remove the map and run `olivine label` again."
            )
        self._check_classes(ids, where)
        return ids, made_of

    @property
    def images(self) -> ImageList:
        """The list of the images that the maps were made of."""
        return ImageList(self._store, self._folder)

    def pair_label_cache(self) -> ArrayCache:
        """Return the cache of pairs' labels, in the folder, so that both are removed together."""
        return ArrayCache(self._store, self._name("pairs"))

    def num_bytes(self, image_name: str) -> int:
        """Return the size of one map as it is stored."""
        return len(self._store.read(self._name(label_map_name(image_name))))

    def copy_from(self, other: "LabelStore", map_name: str) -> None:
        """Copy one map of another store as it is, by the name that `listing` returns."""
        self._store.write(self._name(map_name), other._store.read(other._name(map_name)))

    def record_failure(self, image_name: str, reason: str) -> None:
        """Record in a small file of its own why an image could not be labelled.

        So no record is lost when a job is killed, and two jobs at once do not overwrite each other.
        """
        label_map_name(image_name)  # raises for a name outside
        record = (reason + "\n").encode()
        write_checked(self._store, self._name(_failure_name(image_name)), record, image_name)

    def forget_failure(self, image_name: str) -> None:
        """Remove the record of an image that has labels now."""
        self._store.delete(self._name(_failure_name(image_name)))

    def failed(self) -> dict[str, str]:
        """Return the recorded reason of each image that could not be labelled, from its file."""
        return {name: self._reason(name) for name in sorted(self.listing()[1])}

    def failure_path(self) -> str:
        """Return the folder of these records, to be shown to people."""
        return self._store.path(self._name(_FAILED))

    def _reason(self, image_name: str) -> str:
        name = self._name(_failure_name(image_name))
        try:
            return read_checked(self._store, name, image_name).decode(errors="replace").strip()
        except DamagedError as error:
            return str(error)

    def _decoded(self, name: str, image_name: str) -> tuple[np.ndarray, str]:
        """Return a map and the record of its image.

        A damaged one is renamed, so that the next job makes it again.
        """
        where = self._store.path(name)
        try:
            return decode_map(read_checked(self._store, name, image_name), where)
        except DamagedError as error:
            raise DamagedError(
                f"{error} {set_aside(self._store, name)} Run `olivine label` with the same "
                "dataset, labeller and out: it makes only what is missing."
            ) from None

    def _name(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _check_classes(self, ids: np.ndarray, where: str) -> None:
        if self.makes == "segments":
            return
        num_classes = len(self.class_names)
        used = np.bincount(ids.ravel(), minlength=256).nonzero()[0]
        unknown = used[(used >= num_classes) & (used != IGNORE)]
        if len(unknown):
            raise UserError(
                f"Label map {where} has the unknown class {unknown[0]}; allowed are 0 to "
                f"{num_classes - 1} and {IGNORE} for none: remove it and run `olivine label` again."
            )

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        write_checked(self._store, self._name(name), (json.dumps(value, indent=1) + "\n").encode())

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(read_checked(self._store, self._name(name)))
        except DamagedError as error:
            raise UserError(f"{error} Remove it and run `olivine label` again.") from None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            where = self._store.path(self._name(name))
            raise UserError(f"{where} is not a JSON object; remove it and run `olivine label`.")
        return value


def label_map_name(image_name: str) -> str:
    """Return the name of an image's label map: that of the image, ending in .png."""
    path = PurePosixPath(image_name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f"Image name {image_name!r} must be a path below the data root.")
    return str(path.with_suffix(".png"))


def _failure_name(image_name: str) -> str:
    return f"{_FAILED}{image_name}.txt"
