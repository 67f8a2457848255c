"""Class maps from a folder, such as the authors' `camseg`.

method.md §2.1 and §2.3 to §2.5 describe the authors' maps.

    <data root>/samples/CAM_FRONT/<name>.jpg    the image
    <data root>/camseg/CAM_FRONT/<name>.png     its map: one channel of uint8, of the image's size

Any folder whose tree mirrors the images' names can be read. Generation A of the authors' labels has
0 for background and 1 to 13 for its prompts. Generation B has 0 to 15 for its prompts and 16 for
background, but its generator also left every pixel under no mask at 0, which is "barrier". With
`zero="ignore"`, the default, 0 is no class: most such pixels are no barriers, and barriers then
have no weak label. `zero="barrier"` is what the official code does; together with
`method.ignored_as_class=true` both generations have its number of classes (14 and 17).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from pydantic import Field, field_validator, model_validator

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.class_names import WEAK_A, WEAK_B
from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.labeller import ImageLabeller, Labeller

if TYPE_CHECKING:
    import torch

# Position in the list + 1 is the id in the files of generation A, the position that of B.
GENERATION_A, GENERATION_B = WEAK_A, WEAK_B
BACKGROUND_A, BACKGROUND_B = 0, 16
_NUM_LOOKED_FOR = 10  # maps, before the folder counts as the wrong one


class Imported(Labeller):
    """Reads classes from a folder of maps.

    The labels' identity is their `source` with the vocabulary, and not the folder's path, so that
    the same labels may lie elsewhere on another machine. Maps that were imported once are not read
    again: other labels, or corrected ones, need another `source`.
    """

    kind: ClassVar[str] = "imported"
    places: ClassVar[frozenset[str]] = frozenset({"folder"})
    source: str = Field(
        default="",
        description="Whose labels these are, and which version of them, such as OLIVINE release "
        "2024-11.",
    )
    folder: str = Field(
        default="camseg",
        description="Folder of the maps below the data root, or a path or bucket's URI of its own.",
    )
    image_prefix: str = Field(
        default="samples/", description="Start of the images' names that the maps' folder replaces."
    )
    generation: Literal["", "A", "B"] = Field(
        default="",
        description="Generation of the authors' labels, which fixes the ids; empty takes "
        "class_ids.",
    )
    zero: Literal["ignore", "barrier"] = Field(
        default="ignore",
        description="What id 0 means in generation B: no class, or barrier as in the official "
        "code.",
    )
    class_ids: dict[str, int] = Field(
        default_factory=dict,
        description="Id of each class in the files, by the class's name; empty takes generation.",
    )
    ignored_ids: tuple[int, ...] = Field(
        default=(), description="Further ids that are no class; 255 always is none."
    )

    @field_validator("class_ids")
    @classmethod
    def _are_ids(cls, class_ids: dict[str, int]) -> dict[str, int]:
        ids = list(class_ids.values())
        if len(set(ids)) < len(ids) or not all(0 <= index < IGNORE for index in ids):
            raise ValueError(f"each class needs an id of its own from 0 to {IGNORE - 1}")
        return class_ids

    @field_validator("ignored_ids")
    @classmethod
    def _are_bytes(cls, ids: tuple[int, ...]) -> tuple[int, ...]:
        if not all(0 <= index <= IGNORE for index in ids):
            raise ValueError(f"ids are whole numbers from 0 to {IGNORE}")
        return ids

    @model_validator(mode="after")
    def _has_one_vocabulary(self) -> "Imported":
        if self.generation and self.class_ids:
            raise ValueError("set generation or class_ids, not both")
        if both := set(self.ignored_ids) & set(self.class_ids.values()):
            raise ValueError(f"id {min(both)} is in class_ids and in ignored_ids")
        return self

    @property
    def identity(self) -> str:
        """A hash of source and vocabulary; raise UserError if one is not named."""
        require_source(self.source)
        _ = self.class_names
        return self.identity_of()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The vocabulary, in the order of the ids in the files."""
        if self.generation:
            return GENERATION_A if self.generation == "A" else GENERATION_B
        if not self.class_ids:
            raise UserError(
                "The imported labels need a vocabulary: set generation=A or generation=B for the "
                "authors' labels, or class_ids='{road: 0, car: 1}' with your own names and ids."
            )
        return tuple(sorted(self.class_ids, key=self.class_ids.__getitem__))

    def lookup(self) -> tuple[UInt8[np.ndarray, "256"], Bool[np.ndarray, "256"]]:
        """Return the class of each id in the files, or IGNORE, and which ids are known."""
        names, ids = self.class_names, dict(self.class_ids)
        ignored = {IGNORE, *self.ignored_ids}
        if self.generation == "A":
            ids = {name: index + 1 for index, name in enumerate(names)}
            ignored.add(BACKGROUND_A)
        elif self.generation == "B":
            ids = {name: index for index, name in enumerate(names)}
            ignored |= {BACKGROUND_B, *([0] if self.zero == "ignore" else [])}
        classes, known = np.full(IGNORE + 1, IGNORE, np.uint8), np.zeros(IGNORE + 1, bool)
        for position, name in enumerate(names):
            classes[ids[name]], known[ids[name]] = position, True
        for index in ignored:
            classes[index], known[index] = IGNORE, True
        return classes, known

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the reader; raise UserError if the folder has none of the images' maps."""
        return _Importer(MapFolder.of(self.folder, self.image_prefix, frames), *self.lookup())


class _Importer:
    def __init__(
        self,
        maps: "MapFolder",
        classes: UInt8[np.ndarray, "256"],
        known: Bool[np.ndarray, "256"],
    ):
        self._maps, self._classes, self._known = maps, classes, known

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return the maps as class ids; raise UserError for one that is missing or does not fit."""
        return [
            self._import(name, image.shape[:2]) for image, name in zip(images, names, strict=True)
        ]

    def _import(self, name: str, size_px: tuple[int, ...]) -> np.ndarray:
        ids = self._maps.read(name, size_px)
        if not self._known[ids].all():
            allowed = ", ".join(str(index) for index in np.flatnonzero(self._known))
            raise UserError(
                f"The map {self._maps.path(name)} has the id {ids[~self._known[ids]].min()}, and "
                f"the vocabulary knows {allowed}: choose the right generation or class_ids, or "
                "add it to ignored_ids."
            )
        return self._classes[ids]


@dataclass(frozen=True)
class MapFolder:
    """PNG maps in a folder whose tree mirrors the images' names."""

    store: Store
    image_prefix: str

    @classmethod
    def of(cls, folder: str, image_prefix: str, frames: Frames) -> "MapFolder":
        """Return a folder below the data root or elsewhere; raise UserError if it has no map."""
        elsewhere = "://" in folder or folder.startswith("/")
        maps = cls(Store(folder if elsewhere else f"{frames.root}/{folder}"), image_prefix)
        names = frames.image_names()
        some = names[:: max(1, len(names) // _NUM_LOOKED_FOR)]
        if some and not any(maps.store.exists(maps.name(name)) for name in some):
            raise UserError(
                f"No label map is where it should be, such as {maps.path(some[0])} of "
                f"{some[0]}: set the labeller's folder (below the data root, or a path or URI of "
                "its own) and image_prefix."
            )
        return maps

    def name(self, image_name: str) -> str:
        """Return the path of an image's map below the folder."""
        if not image_name.startswith(self.image_prefix):
            raise UserError(
                f"The image {image_name} does not begin with image_prefix={self.image_prefix!r}; "
                "set image_prefix to what the maps' tree leaves out of the images' names."
            )
        below = image_name[len(self.image_prefix) :]
        return f"{below.rpartition('.')[0]}.png"

    def path(self, image_name: str) -> str:
        """Return the full path of an image's map, to be shown to people."""
        return self.store.path(self.name(image_name))

    def read(self, image_name: str, size_px: tuple[int, ...]) -> UInt8[np.ndarray, "_ _"]:
        """Return the ids in a map of (rows, columns); raise UserError that names the file."""
        path = self.path(image_name)
        try:
            data = self.store.read(self.name(image_name))
        except UserError as error:
            raise UserError(
                f"No label map of {image_name}: {str(error).rstrip('.')}; put it there, then run "
                "the same command again."
            ) from None
        try:
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                mode, ids = image.mode, np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"The map {path} is not a readable PNG ({error}); copy it again."
            ) from None
        if mode not in ("L", "P"):  # grey values, or indices of a palette
            raise UserError(
                f"The map {path} must have one channel of 8 bits, it has PNG mode {mode}: write "
                "ids, not colours."
            )
        if ids.shape != size_px:
            raise UserError(
                f"The map {path} has {ids.shape[0]} rows and {ids.shape[1]} columns, its image "
                f"{size_px[0]} and {size_px[1]}: make it at the image's size."
            )
        return ids


def require_source(source: str) -> None:
    """Raise UserError if the source of the labels is not named."""
    if not source.strip():
        raise UserError(
            "The imported labels need a name of their own, such as "
            "source='OLIVINE release 2024-11': labels of another source or version need another."
        )
