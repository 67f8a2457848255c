"""The family of frozen image networks, and what each of them does."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.core.devices import usable
from olivine.core.errors import UserError
from olivine.core.parts import Part
from olivine.models.weights import locate, weights_identity

if TYPE_CHECKING:
    import torch


class Teacher(Part):
    """Builds a frozen image network that gives a map of features at a lower resolution."""

    family: ClassVar[str] = "teachers"
    built_in: ClassVar[Mapping[str, str]] = {
        "filter_bank": "olivine.models.teachers.filter_bank:FilterBankTeacher",
        "resnet50": "olivine.models.teachers.resnet50:ResNet50Teacher",
        "vit": "olivine.models.teachers.vit:VisionTransformerTeacher",
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

    def dtype_on(self, device: "torch.device") -> "torch.dtype":
        """Return the numbers that its maps have on a device."""
        import torch

        return torch.float32

    def arithmetic(self, precision: str, device: "torch.device") -> str:
        """Return what tells how its maps round, in a pretraining of that precision.

        This one's products are the pretraining's own, by autocast.
        """
        return f"{device.type} {precision}"

    @abstractmethod
    def build(self, device: "torch.device | None" = None) -> "torch.nn.Module":
        """Return a module from uint8 (images, 3, rows, columns) to floats (images, D, r, c).

        It is not on the device yet, where it will run (None: the CPU). Half precision will do:
        features are read in single precision.
        """


class PretrainedTeacher(Teacher):
    """A teacher whose weights come from a file and are identified by the file's content.

    `compile` changes the results' rounding alone, as another processor does, so no fingerprint
    contains it.
    """

    places: ClassVar[frozenset[str]] = frozenset({"weights", "compile"})
    weights: str = Field(default="", description="Path of the file of weights.")
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32",
        description="Number format of its products on a GPU; a CPU takes bfloat16 if it has "
        "instructions for it, and float32 otherwise.",
    )
    compile: bool = Field(
        default=False,
        description="Whether torch.compile is used: a minute or more at the start for shorter "
        "steps.",
    )

    @property
    @abstractmethod
    def wanted(self) -> str:
        """Whose file it needs, for people."""

    @property
    def identity(self) -> str:
        """The SHA-256 of the weights; raise UserError if there are none."""
        self.weights_path()
        return weights_identity(self.weights)

    def weights_path(self) -> Path:
        """Return where the weights lie; raise UserError if none are named or there."""
        if not self.weights:
            raise UserError(
                f"teacher.kind={self.kind} needs {self.wanted}: "
                "--set pretrained.teacher.weights=PATH."
            )
        return locate(self.weights)

    def dtype_on(self, device: "torch.device") -> "torch.dtype":
        """Return the numbers that it computes with on a device."""
        import torch

        return usable(getattr(torch, self.precision), device)

    def arithmetic(self, precision: str, device: "torch.device") -> str:
        """Return its own: no pretraining's precision reaches it."""
        name = str(self.dtype_on(device)).removeprefix("torch.")
        return f"{device.type} {name}{' compiled' if self.compile else ''}"

    def build(self, device: "torch.device | None" = None) -> "torch.nn.Module":
        """Load the network.

        Raises UserError for a file that is not there or is another's, and where it cannot be
        compiled for the device.
        """
        import torch

        from olivine.models.compiling import compiled

        device = device or torch.device("cpu")
        network = self.load(self.weights_path(), self.dtype_on(device))
        return compiled(network, device, "pretrained.teacher.compile") if self.compile else network

    @abstractmethod
    def load(self, path: Path, dtype: "torch.dtype") -> "torch.nn.Module":
        """Return the network of a file; raise UserError if it is another's."""
