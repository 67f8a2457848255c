"""Classes as von Mises-Fisher densities of point features (OLIVINE, L_vMF)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class VMF(Loss):
    """Settings; the defaults are the official code's, whose EMA starts at zero.

    `momentum` is the share of the old mean kept per step. For `warmup_steps` the bank learns and
    the loss is zero; then the loss is on and, with `freeze`, the bank stands still.
    `bias_correction` divides out the EMA's start at zero, which otherwise makes rare classes less
    concentrated. `concentration` is kappa, estimated from the bank and then multiplied by
    `concentration_scale`, or one number for all classes; `max_concentration` caps it. `average`
    is over classes then points (the code), or over points (the paper's equation).

    `form` "likelihood" is OLIVINE's: minus the log density of the point's own class. "posterior",
    ours, is minus the log of that class's share of the densities of all classes ever seen, so a
    point is also pushed from the classes it is not of; a `max_concentration` keeps it from growing
    sharp.
    """

    kind: ClassVar[str] = "vmf"

    momentum: float = Field(default=0.9999, gt=0, lt=1)
    warmup_steps: int = Field(default=10_001, ge=0)  # the code's global_step <= 10000
    freeze: bool = True
    bias_correction: bool = False
    concentration: Literal["estimated"] | Annotated[float, Field(gt=0)] = "estimated"
    concentration_scale: float = Field(default=1.0, gt=0)
    max_concentration: float | None = Field(default=None, gt=0)
    average: Literal["class", "point"] = "class"
    form: Literal["likelihood", "posterior"] = "likelihood"

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
        """Return a module from matched rows to a scalar, with a bank to `observe`."""
        from olivine.methods.losses.vmf.loss import VonMisesFisher

        return VonMisesFisher(
            num_channels,
            num_classes,
            momentum=self.momentum,
            warmup_steps=self.warmup_steps,
            freeze=self.freeze,
            bias_correction=self.bias_correction,
            concentration=self.concentration,
            concentration_scale=self.concentration_scale,
            max_concentration=self.max_concentration,
            average=self.average,
            form=self.form,
        )
