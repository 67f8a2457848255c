"""InfoNCE that spares negatives which look alike to the frozen teacher (ST-SLidR)."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class SemanticTolerant(Loss):
    """Settings: `temperature` divides cosine similarities.

    `min_quantile` is the share of look-alikes that do not push; 0 makes every logit smaller by
    its similarity instead. `balanced` counts queries with many look-alikes less.
    """

    kind: ClassVar[str] = "semantic_tolerant"

    temperature: float = Field(default=0.07, gt=0)
    min_quantile: float = Field(default=0.01, ge=0, lt=1)
    balanced: bool = True

    uses_teacher_rows: ClassVar[bool] = True

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows, with their frozen features, to a scalar."""
        from olivine.methods.losses.semantic_tolerant.loss import SemanticTolerantLoss

        return SemanticTolerantLoss(
            min_quantile=self.min_quantile, temperature=self.temperature, balanced=self.balanced
        )
