"""The family of frozen image networks, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.core.devices import tf32_products, usable
from olivine.core.errors import UserError
from olivine.core.parts import Part
from olivine.models.weights import WeightsName, locate, verify, weights_identity

if TYPE_CHECKING:
    import torch


class Teacher(Part):
    """Builds a frozen image network whose feature map has a lower resolution than the image."""

    family: ClassVar[str] = "teachers"
    built_in: ClassVar[Mapping[str, str]] = {
        "filter_bank": "olivine.models.teachers.filter_bank:FilterBankTeacher",
        "resnet50": "olivine.models.teachers.resnet50:ResNet50Teacher",
        "vit": "olivine.models.teachers.vit:VisionTransformerTeacher",
    }

    @property
    def identity(self) -> str:
        """Identifies its weights; empty where the settings already do."""
        return ""

    @property
    @abstractmethod
    def num_channels(self) -> int:
        """The number of channels of its features."""

    @abstractmethod
    def map_size(self, rows_px: int, columns_px: int) -> tuple[int, int]:
        """Return the rows and columns of an image's feature map."""

    def dtype_on(self, device: "torch.device") -> "torch.dtype":
        """Return the number format of its maps on a device."""
        import torch

        return torch.float32

    def arithmetic(self, precision: str, device: "torch.device") -> str:
        """Return a text that identifies how its maps are rounded in a pretraining of a precision.

        The products of this teacher have the precision of the pretraining, by autocast.
        """
        return f"{device.type} {precision}"

    @abstractmethod
    def build(self, device: "torch.device | None" = None) -> "torch.nn.Module":
        """Return a module from uint8 (images, 3, rows, columns) to floats (images, D, r, c).

        `device` is the device on which it will run (None: the CPU); the module is not moved there.
        Its output may be in half precision, since features are read in single precision.
        """


class PretrainedTeacher(Teacher):
    """A teacher whose weights come from a file and are identified by the file's content.

    `compile` changes the results' rounding alone, as another processor does, so no fingerprint
    contains it.
    """

    places: ClassVar[frozenset[str]] = frozenset({"weights", "compile"})
    weights: WeightsName = Field(default="", description="Path of the file of weights.")
    precision: Literal["float32", "tf32", "float16", "bfloat16"] = Field(
        default="tf32",
        description="Number format of its products on a GPU; tf32, torch's own default, rounds "
        "those of float32. A CPU takes bfloat16 if it has instructions for it, and float32 "
        "otherwise.",
    )
    compile: bool = Field(
        default=False,
        description="Whether torch.compile is used: a minute or more at the start for shorter "
        "steps.",
    )

    @property
    @abstractmethod
    def wanted(self) -> str:
        """The name, for messages, of the file that it needs."""

    @property
    def identity(self) -> str:
        """The SHA-256 of the weights; raise UserError if there are none."""
        self.weights_path()
        return weights_identity(self.weights)

    def weights_path(self) -> Path:
        """Return the path of the weights; raise UserError if none are named or there."""
        if not self.weights:
            raise UserError(
                f"teacher.kind={self.kind} needs {self.wanted}: "
                "--set pretrained.teacher.weights=PATH."
            )
        return locate(self.weights)

    def dtype_on(self, device: "torch.device") -> "torch.dtype":
        """Return the number format in which it computes on a device."""
        import torch

        name = "float32" if self.precision == "tf32" else self.precision
        return usable(getattr(torch, name), device)

    def arithmetic(self, precision: str, device: "torch.device") -> str:
        """Return its own arithmetic, which no pretraining's precision changes."""
        name = str(self.dtype_on(device)).removeprefix("torch.")
        if self.precision == "tf32" and device.type != "cpu":
            name = self.precision
        return f"{device.type} {name}{' compiled' if self.compile else ''}"

    def build(self, device: "torch.device | None" = None) -> "torch.nn.Module":
        """Return the network with its weights.

        Raises UserError for a file that is missing or of another network, and if the network cannot
        be compiled for the device.
        """
        import torch

        from olivine.models.compiling import compiled

        device = device or torch.device("cpu")
        self.weights_path()
        dtype = self.dtype_on(device)
        network = rounded_once(self.load(verify(self.weights), dtype), dtype)
        if device.type != "cpu":
            _allow_tf32_in(network, allowed=self.precision == "tf32")
        return compiled(network, device, "pretrained.teacher.compile") if self.compile else network

    @abstractmethod
    def load(self, path: Path, dtype: "torch.dtype") -> "torch.nn.Module":
        """Return the network of a file; raise UserError if the file is of another network."""


def rounded_once(network: "torch.nn.Module", dtype: "torch.dtype") -> "torch.nn.Module":
    """Round the weights of a frozen network's products to their number format, for good.

    Autocast rounds them at every call, with the same result: it keeps copies only of weights that
    train. A DINOv2 ViT-S takes 1.5 times as long by it (docs/gpu.md).
    """
    from torch import float32, nn

    for module in network.modules() if dtype != float32 else ():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)
    return network


def _allow_tf32_in(network: "torch.nn.Module", *, allowed: bool) -> None:
    """Allow or forbid TF32 in the network's calls alone, whatever holds around them."""
    contexts: list[AbstractContextManager[None]] = []

    def begin(*_: object) -> None:
        contexts.append(tf32_products(allowed=allowed))
        contexts[-1].__enter__()

    def end(*_: object) -> None:
        contexts.pop().__exit__(None, None, None)

    network.register_forward_pre_hook(begin)
    network.register_forward_hook(end, always_call=True)
