"""The families of parts that hold or feed networks, and the one thing each of them does."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from torch import Tensor, nn

from olivine.compiling import compiled
from olivine.errors import UserError
from olivine.parts import Frames
from olivine.processor import usable
from olivine.spec import Part
from olivine.tensors import Matched, PairTable, StepPart, Voxels
from olivine.weights import identity, locate


@runtime_checkable
class ImageLabeller(Protocol):
    """A loaded labeller."""

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return one map of ids per image, of the image's size; `names` are the images' own.

        Raises UserError where an image cannot be labelled; the job then tries the batch's images
        one by one.
        """
        ...


class Labeller(Part):
    """Writes an integer per pixel: weak classes, or segments without a name.

    Most see images alone. One that reads the truth (`reads_truth`) is for a table's upper bound,
    and is marked wherever its labels are shown.
    """

    family: ClassVar[str] = "labellers"
    built_in: ClassVar[Mapping[str, str]] = {
        "embedded": "olivine.labellers.embedded:Embedded",
        "grounded_sam": "olivine.labellers.grounded_sam:GroundedSam",
        "imported": "olivine.labellers.imported:Imported",
        "imported_segments": "olivine.labellers.imported_segments:ImportedSegments",
        "lidarseg_truth": "olivine.labellers.lidarseg_truth:LidarsegTruth",
        "regions": "olivine.labellers.regions:Regions",
        "sam_segments": "olivine.labellers.sam_segments:SamSegments",
        "slic": "olivine.labellers.slic:Slic",
    }
    makes: ClassVar[Literal["classes", "segments"]] = "classes"
    reads_truth: ClassVar[bool] = False
    note: ClassVar[str] = ""  # what its labels must not be trusted for; shown with them

    @property
    def identity(self) -> str:
        """Return 12 hex digits: two labellers of one identity write the same labels.

        A labeller with weights overrides it with `identity_of` and the weights' own hash.
        """
        return self.identity_of()

    def identity_of(self, *more: str) -> str:
        """Hash the settings, the code's version and whatever else decides the labels."""
        text = json.dumps([self.what_decides(), self.code_version, *more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The vocabulary; ids are positions here. Segments have none: it is empty."""

    @abstractmethod
    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        """Load the model; `frames` is for labellers that find their labels by the image's name."""


class Backbone(Part):
    """Builds a 3D network from voxels to one feature row per voxel.

    With `weights`, the path of a published checkpoint, it starts from there instead of at random;
    a pretraining of no epochs then is that checkpoint.
    """

    family: ClassVar[str] = "backbones"
    built_in: ClassVar[Mapping[str, str]] = {
        "minkunet": "olivine.backbones.minkunet:MinkUNet",
        "voxelnet": "olivine.backbones.voxelnet:VoxelNet",
        "waffleiron": "olivine.backbones.waffleiron:WaffleIron",
    }
    places: ClassVar[frozenset[str]] = frozenset({"weights"})

    weights: str = ""

    @property
    def identity(self) -> str:
        """The SHA-256 of the weights it starts from; empty for random ones."""
        return identity(self.weights) if self.weights else ""

    @property
    @abstractmethod
    def num_channels(self) -> int:
        """Channels of the features it returns."""

    @abstractmethod
    def build(self, num_input_channels: int) -> Callable[[Voxels], Float[Tensor, "V D"]]:
        """Return an nn.Module; its weights come from torch's global generator."""


CPU = torch.device("cpu")


class Teacher(Part):
    """Builds a frozen image network that gives a map of features at a lower resolution."""

    family: ClassVar[str] = "teachers"
    built_in: ClassVar[Mapping[str, str]] = {
        "filter_bank": "olivine.teachers.filter_bank:FilterBankTeacher",
        "resnet50": "olivine.teachers.resnet50:ResNet50Teacher",
        "vit": "olivine.teachers.vit:VisionTransformerTeacher",
    }

    @property
    def identity(self) -> str:
        """What tells its weights from others; empty where the settings say it all."""
        return ""

    @property
    @abstractmethod
    def num_channels(self) -> int:
        """Channels of the features it returns."""

    @abstractmethod
    def map_size(self, rows_px: int, columns_px: int) -> tuple[int, int]:
        """Return the rows and columns of the map of an image."""

    def dtype_on(self, device: torch.device) -> torch.dtype:
        """Return the numbers that its maps have on a device."""
        return torch.float32

    def arithmetic(self, precision: str, device: torch.device) -> str:
        """Return what tells how its maps round, in a pretraining of that precision.

        This one's products are the pretraining's own, by autocast.
        """
        return f"{device.type} {precision}"

    @abstractmethod
    def build(self, device: torch.device = CPU) -> nn.Module:
        """Return a module from uint8 (images, 3, rows, columns) to floats (images, D, r, c).

        It is not on the device yet, where it will run. Half precision will do: features are read
        in single precision.
        """


class PretrainedTeacher(Teacher):
    """A teacher whose weights come from a file, known by its content wherever it lies.

    `weights` is the file's path. `precision` is what a GPU computes with; a CPU takes bfloat16 if
    it has instructions for it (AVX512-BF16, AMX), and float32 otherwise. `compile` runs the network
    through torch.compile, a minute or more at the start for a shorter step: it changes rounding
    alone, as another processor does, so no fingerprint of a pretraining has it.
    """

    places: ClassVar[frozenset[str]] = frozenset({"weights", "compile"})
    weights: str = ""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    compile: bool = False

    @property
    @abstractmethod
    def wanted(self) -> str:
        """Whose file it needs, for people."""

    @property
    def identity(self) -> str:
        """The SHA-256 of the weights; raise UserError if there are none."""
        self.weights_path()
        return identity(self.weights)

    def weights_path(self) -> Path:
        """Return where the weights lie; raise UserError if none are named or there."""
        if not self.weights:
            raise UserError(
                f"teacher.kind={self.kind} needs {self.wanted}: "
                "--set pretrained.teacher.weights=PATH."
            )
        return locate(self.weights)

    def dtype_on(self, device: torch.device) -> torch.dtype:
        """Return the numbers that it computes with on a device."""
        return usable(getattr(torch, self.precision), device)

    def arithmetic(self, precision: str, device: torch.device) -> str:
        """Return its own: no pretraining's precision reaches it."""
        name = str(self.dtype_on(device)).removeprefix("torch.")
        return f"{device.type} {name}{' compiled' if self.compile else ''}"

    def build(self, device: torch.device = CPU) -> nn.Module:
        """Load the network.

        Raises UserError for a file that is not there or is another's, and where it cannot be
        compiled for the device.
        """
        network = self.load(self.weights_path(), self.dtype_on(device))
        return compiled(network, device, "pretrained.teacher.compile") if self.compile else network

    @abstractmethod
    def load(self, path: Path, dtype: torch.dtype) -> nn.Module:
        """Return the network of a file; raise UserError if it is another's."""


class Sampler(Part):
    """Chooses which pairs of one contrast group a term sees: `num_pairs`, or all there are."""

    family: ClassVar[str] = "samplers"
    built_in: ClassVar[Mapping[str, str]] = {
        "density_category": "olivine.samplers.density_category:DensityCategory",
        "uniform": "olivine.samplers.uniform:Uniform",
    }

    num_pairs: int = Field(default=4096, ge=1)

    @property
    def uses_classes(self) -> bool:
        """Whether it needs weak labels."""
        return False

    @abstractmethod
    def __call__(self, pairs: PairTable, generator: torch.Generator) -> Int[Tensor, " chosen"]:
        """Return rows of `pairs`, none twice."""


@runtime_checkable
class Projected(Protocol):
    """Features that can be asked for by row, so that only what is sampled is projected."""

    def points(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length point feature of each pair."""
        ...

    def pixels(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length pixel feature of each pair."""
        ...

    def views(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length feature of each pair's point in the scan's second view."""
        ...

    def later_points(self, head: str) -> tuple[Float[Tensor, "L D"], Int[Tensor, " L"]]:
        """Return unit-length features of the later scans' voxels, and their superpoints."""
        ...

    def scans(self, head: str) -> Float[Tensor, "frames D"]:
        """Return the unit-length feature of each whole scan."""
        ...

    def scan_keys(self, head: str) -> Float[Tensor, "frames D"]:
        """Return that of its second view, by the slowly moving copy of the student."""
        ...

    def teacher_rows(self, pairs: PairTable) -> Float[Tensor, "M T"]:
        """Return the teacher's own feature at each pair's pixel."""
        ...

    def segments(self, pairs: PairTable) -> Int[Tensor, " M"]:
        """Return the segment of each pair's pixel, numbered over the batch; -1 where none is."""
        ...

    def segment_pixels(
        self, head: str, segments: Int[Tensor, " S"], teacher_rows: bool
    ) -> tuple[Float[Tensor, "S D"], Float[Tensor, "S T"] | None]:
        """Return means over all pixels of segments: of unit-length features, and of the teacher's.

        The second only if `teacher_rows` asks for it.
        """
        ...


class Pooling(Part):
    """Averages features into groups before they are compared."""

    family: ClassVar[str] = "poolings"
    built_in: ClassVar[Mapping[str, str]] = {
        "cluster": "olivine.poolings.cluster:Cluster",
        "segment": "olivine.poolings.segment:Segment",
    }
    match: ClassVar[Literal["pixel", "time"]] = "pixel"  # what it averages on the keys' side
    uses_segments: ClassVar[bool] = False  # True: it needs superpixels

    @property
    def shares_keys(self) -> bool:
        """Whether several queries have one key."""
        return False

    @abstractmethod
    def __call__(
        self,
        features: Projected,
        head: str,
        pairs: PairTable,
        group_ids: Int[Tensor, " M"],
        teacher_rows: bool = False,
    ) -> Matched:
        """Return one row per group; `group_ids` are the pairs' contrast groups.

        `teacher_rows` asks for the teacher's own features too.
        """


@runtime_checkable
class Stateful(Protocol):
    """A loss that learns from the rows it sees, such as a bank of class means."""

    def observe(self, matched: Matched, part: StepPart) -> None:
        """See the rows of a part of a step, over all contrast groups, before the loss is asked."""
        ...

    def state_metrics(self) -> dict[str, Tensor]:
        """Return what is worth watching, without waiting for the device."""
        ...


class Loss(Part):
    """Builds a module from matched rows to a scalar."""

    family: ClassVar[str] = "losses"
    built_in: ClassVar[Mapping[str, str]] = {
        "info_nce": "olivine.losses.info_nce:InfoNCE",
        "queue_nce": "olivine.losses.queue_nce:QueueNCE",
        "regression": "olivine.losses.regression:Regression",
        "semantic_tolerant": "olivine.losses.semantic_tolerant:SemanticTolerant",
        "sup_con": "olivine.losses.sup_con:SupCon",
        "vmf": "olivine.losses.vmf:VMF",
    }
    uses_keys: ClassVar[bool] = True  # False: it looks at the queries alone
    uses_classes: ClassVar[bool] = False  # True: it needs weak labels
    uses_teacher_rows: ClassVar[bool] = False  # True: it compares the teacher's own features
    shares_keys: ClassVar[bool] = False  # True: several queries may have one key

    @property
    def uses_whole_batch(self) -> bool:
        """Whether it compares with all of a batch at once, so that no batch comes in parts."""
        return False

    @abstractmethod
    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module called as module(matched of one contrast group) -> scalar tensor."""
