"""Weakly supervised contrast: every key of the query's class is a positive (OLIVINE)."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class SupCon(Loss):
    """Supervised contrast with weak labels: every key of the query's class is a positive.

    With `gather_keys` the keys of the whole batch are candidates, so the loss is the same for
    any number of workers (see `InfoNCE`).
    """

    kind: ClassVar[str] = "sup_con"

    temperature: float = Field(
        default=0.07, gt=0, description="Temperature that divides cosine similarities."
    )
    mean_over_positives: bool = Field(
        default=False,
        description="Whether similarities to positives are averaged, as in the paper; otherwise "
        "summed, as in the official code.",
    )
    gather_keys: bool = Field(
        default=False,
        description="Whether keys of the whole batch, over all contrast groups and workers, are "
        "candidates.",
    )

    uses_classes: ClassVar[bool] = True

    @property
    def uses_whole_batch(self) -> bool:
        """Whether it compares with all of a batch at once: where it gathers keys."""
        return self.gather_keys

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows to a scalar."""
        from olivine.methods.losses.sup_con.loss import GatheredSupConLoss, SupConLoss

        loss = GatheredSupConLoss if self.gather_keys else SupConLoss
        return loss(self.temperature, self.mean_over_positives)
