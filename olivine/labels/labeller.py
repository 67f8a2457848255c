"""The family of labellers, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from olivine.core.hashing import value_hash
from olivine.core.parts import Part, parts_of
from olivine.data.dataset import Frames

if TYPE_CHECKING:
    import torch


@runtime_checkable
class ImageLabeller(Protocol):
    """A loaded labeller."""

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return one map of ids per image, of the image's size; `names` are the images' names.

        Raises UserError if an image cannot be labelled; the job then tries the batch's images one
        by one.
        """
        ...


class Labeller(Part):
    """Writes an integer per pixel: weak classes, or segments without names.

    Most labellers see images alone. One that reads the truth (`reads_truth`) is for a table's upper
    bound, and is marked wherever its labels are shown.
    """

    family: ClassVar[str] = "labellers"
    built_in: ClassVar[Mapping[str, str]] = {
        "embedded": "olivine.labels.labellers.embedded:Embedded",
        "grounded_sam": "olivine.labels.labellers.grounded_sam:GroundedSam",
        "imported": "olivine.labels.labellers.imported:Imported",
        "imported_segments": "olivine.labels.labellers.imported_segments:ImportedSegments",
        "lidarseg_truth": "olivine.labels.labellers.lidarseg_truth:LidarsegTruth",
        "regions": "olivine.labels.labellers.regions:Regions",
        "sam_segments": "olivine.labels.labellers.sam_segments:SamSegments",
        "slic": "olivine.labels.labellers.slic:Slic",
    }
    makes: ClassVar[Literal["classes", "segments"]] = "classes"
    reads_truth: ClassVar[bool] = False
    note: ClassVar[str] = ""  # a warning about its labels, which is shown with them

    @property
    def depends_on_truth(self) -> bool:
        """Whether it, or a labeller that it is made of, reads the truth."""
        return any(part.reads_truth for part in parts_of(self) if isinstance(part, Labeller))

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the parts of a data set that decide the labels, besides the image itself.

        They are of "scans" and "point_labels", for a labeller that reads frames.
        """
        return ("point_labels", "scans") if self.reads_truth else ()

    @property
    def identity(self) -> str:
        """Return 12 hex digits; labellers with the same digits write the same labels.

        A labeller with weights overrides it by `identity_of` with the weights' own hash.
        """
        return self.identity_of()

    def identity_of(self, *more: str) -> str:
        """Return a hash of the settings, the code's version and whatever decides the labels."""
        return value_hash([self.fingerprint_fields(), self.code_version, *more])

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The vocabulary, in which ids are positions; of segments it is empty."""

    @abstractmethod
    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the loaded labeller; some find the labels in `frames`, by an image's name."""
