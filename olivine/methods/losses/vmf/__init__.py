"""Classes as von Mises-Fisher densities of point features (OLIVINE, L_vMF)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class VMF(Loss):
    """A von Mises-Fisher density per class, estimated by moving averages of point features.

    The defaults are the official code's, whose moving average starts at zero, except for `bank`:
    "per_group" is the official code's, and the default is that of earlier versions. During the
    warm-up the densities are estimated and the loss is zero; then the loss is on and, with
    `freeze`, the densities stay as they are. With a `form` of "posterior", which is ours, a
    point is also pushed from the classes that it does not belong to; `max_concentration` then
    keeps the densities from growing sharp.
    """

    kind: ClassVar[str] = "vmf"
    added: ClassVar[Mapping[str, Any]] = {"bank": "pooled"}

    momentum: float = Field(
        default=0.9999, gt=0, lt=1, description="Share of the old mean that is kept per step."
    )
    bank: Literal["per_group", "pooled"] = Field(
        default="pooled",
        description="What the bank learns from: per_group moves a mean of each contrast group, "
        "which stays where the group lacks the class, and averages them (the official code, whose "
        "groups are GPUs); pooled moves at full rate to the mean of all the batch's points, so "
        "that rare classes become more concentrated.",
    )
    warmup_steps: int = Field(
        default=10_001,
        ge=0,
        description="Steps before the loss is on; the official code's global_step <= 10000 is "
        "10,001.",
    )
    freeze: bool = Field(
        default=True, description="Whether the densities stay fixed after the warm-up."
    )
    bias_correction: bool = Field(
        default=False,
        description="Whether the average's start at zero is divided out, which otherwise makes "
        "rare classes less concentrated.",
    )
    concentration: Literal["estimated"] | Annotated[float, Field(gt=0)] = Field(
        default="estimated",
        description="Concentration kappa: estimated for each class, or one number for all classes.",
    )
    concentration_scale: float = Field(
        default=1.0, gt=0, description="Factor of the estimated concentration."
    )
    max_concentration: float | None = Field(
        default=None, gt=0, description="Upper limit of the concentration; null has no limit."
    )
    average: Literal["class", "point"] = Field(
        default="class",
        description="What is averaged: classes and then points (the official code), or points "
        "(the paper).",
    )
    form: Literal["likelihood", "posterior"] = Field(
        default="likelihood",
        description="Minus the log density of the point's own class, or minus the log of its "
        "share of all classes' densities.",
    )

    uses_keys: ClassVar[bool] = False
    uses_classes: ClassVar[bool] = True

    @model_validator(mode="after")
    def _learns(self) -> "VMF":
        if self.freeze and self.warmup_steps == 0:
            raise ValueError("a bank that freezes after warmup_steps=0 learns nothing: set one")
        if self.concentration != "estimated" and self.concentration_scale != 1:
            raise ValueError(
                "concentration_scale multiplies an estimated concentration; with a number leave "
                "it at 1"
            )
        return self

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows to a scalar, with a bank that `observe` updates."""
        from olivine.methods.losses.vmf.loss import VonMisesFisher

        return VonMisesFisher(
            num_channels,
            num_classes,
            momentum=self.momentum,
            bank=self.bank,
            warmup_steps=self.warmup_steps,
            freeze=self.freeze,
            bias_correction=self.bias_correction,
            concentration=self.concentration,
            concentration_scale=self.concentration_scale,
            max_concentration=self.max_concentration,
            average=self.average,
            form=self.form,
        )
