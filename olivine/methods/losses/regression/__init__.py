"""Each point feature is moved onto its pixel feature; no negatives (ScaLR)."""

from typing import TYPE_CHECKING, ClassVar

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class Regression(Loss):
    """The distance between normalised features; it has no settings."""

    kind: ClassVar[str] = "regression"
    shares_keys: ClassVar[bool] = True

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows to a scalar."""
        from olivine.methods.losses.regression.loss import RegressionLoss

        return RegressionLoss()
