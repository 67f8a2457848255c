"""Weakly supervised contrast: every key of the query's class is a positive (OLIVINE)."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class SupCon(Loss):
    """Settings: `temperature` divides cosine similarities; see `sup_con` for the second.

    With `gather_keys` the keys of the whole batch are candidates, over all contrast groups and
    workers; the loss stays the same for any number of workers (see `InfoNCE`).
    """

    kind: ClassVar[str] = "sup_con"

    temperature: float = Field(default=0.07, gt=0)
    mean_over_positives: bool = False
    gather_keys: bool = False

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
