"""Each query against its own key and the keys of earlier steps (MoCo, DepthContrast)."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.methods.losses.base import Loss

if TYPE_CHECKING:
    import torch


class QueueNCE(Loss):
    """Compares each query with its own key and with a queue of earlier keys.

    The queue starts empty, so the first step has no loss. MoCo's code starts from random rows.
    """

    kind: ClassVar[str] = "queue_nce"

    temperature: float = Field(
        default=0.1, gt=0, description="Temperature that divides cosine similarities."
    )
    size: int = Field(default=65_536, ge=1, description="Number of keys that the queue holds.")

    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module from matched rows to a scalar, with a queue that observes keys."""
        from olivine.methods.losses.queue_nce.loss import KeyQueue

        return KeyQueue(num_channels, size=self.size, temperature=self.temperature)
