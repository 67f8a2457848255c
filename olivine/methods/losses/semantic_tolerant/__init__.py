"""InfoNCE that spares negatives which look alike to the frozen teacher (ST-SLidR)."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class SemanticTolerant(Loss):
    """InfoNCE whose negatives count less the more they resemble the query to the teacher."""

    kind: ClassVar[str] = "semantic_tolerant"

    temperature: float = Field(
        default=0.07, gt=0, description="Temperature that divides cosine similarities."
    )
    min_quantile: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Share of the most similar keys whose logits count 0; a value of 0 multiplies "
        "every logit by 1 - similarity instead.",
    )
    balanced: bool = Field(
        default=True, description="Whether queries with many similar samples count less."
    )

    uses_teacher_rows: ClassVar[bool] = True

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows, with their frozen features, to a scalar."""
        from olivine.methods.losses.semantic_tolerant.loss import SemanticTolerantLoss

        return SemanticTolerantLoss(
            min_quantile=self.min_quantile, temperature=self.temperature, balanced=self.balanced
        )
