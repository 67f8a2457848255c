"""InfoNCE: each query must pick its own key (PPKT, SLidR, OLIVINE eq. 1)."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class InfoNCE(Loss):
    """Compares each query with its own key and with the other keys of its contrast group.

    With `gather_keys` a query is compared with the keys of the whole batch, over all contrast
    groups and all workers, and the group only says which queries are averaged. So the loss is
    the same for any number of workers, unlike gathering the keys that each device happens to
    hold.
    """

    kind: ClassVar[str] = "info_nce"

    temperature: float = Field(
        default=0.07, gt=0, description="Temperature that divides cosine similarities."
    )
    gather_keys: bool = Field(
        default=False,
        description="Whether keys of the whole batch, over all contrast groups and workers, are "
        "candidates.",
    )

    shares_keys: ClassVar[bool] = True

    @property
    def uses_whole_batch(self) -> bool:
        """Whether it compares with all of a batch at once: where it gathers keys."""
        return self.gather_keys

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows to a scalar."""
        from olivine.methods.losses.info_nce.loss import GatheredInfoNCELoss, InfoNCELoss

        loss = GatheredInfoNCELoss if self.gather_keys else InfoNCELoss
        return loss(self.temperature)
