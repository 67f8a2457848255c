"""Each query against its own key and the keys of earlier steps (MoCo, He et al. 2020).

DepthContrast's loss (Zhang et al. 2021; method.md §7.1): keys come from a momentum student, rows
are whole scans. The own key may carry a gradient, the queue never does.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from olivine.core.collectives import gather_rows
from olivine.methods.losses.log_sum_exp import exact, log_sum_exp, own_logits
from olivine.methods.matched import WHOLE, Matched, StepPart


def queue_nce(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "M D"],
    earlier: Float[Tensor, "Q D"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of picking key i for query i among it and earlier keys.

    Zero without a query or without an earlier key.
    """
    if len(queries) == 0 or len(earlier) == 0:
        return (queries.sum() + keys.sum()) * 0.0
    own = own_logits(queries, keys, temperature)
    total = torch.logaddexp(own, log_sum_exp(queries, earlier, temperature))
    return (total - own).mean()


class KeyQueue(nn.Module):
    """The queue and the loss; buffers survive in checkpoints and are the same on every worker."""

    queue: Tensor
    num_seen: Tensor
    earlier: Tensor

    def __init__(self, num_channels: int, *, size: int, temperature: float):
        super().__init__()
        self.temperature, self.size = temperature, size
        self.register_buffer("queue", torch.zeros(size, num_channels))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.long))
        self._num_seen = 0  # the same number, without waiting for the device
        self.register_load_state_dict_post_hook(_recount)  # type: ignore[no-untyped-call] # torch: no hints

    @torch.no_grad()
    def observe(self, matched: Matched, part: StepPart = WHOLE) -> None:
        """Set earlier keys aside for this step's loss, then put this step's keys into the queue.

        The keys of all workers enter in the order of their ranks, so in that of their frames; in
        a step of several parts in that of the parts.
        """
        assert matched.keys is not None
        if part.is_first:
            self.earlier = self.queue[: min(self._num_seen, self.size)].clone()
        keys, _ = gather_rows(exact(matched.keys.detach()))
        first = self._num_seen + max(len(keys) - self.size, 0)
        self._num_seen += len(keys)
        self.num_seen.fill_(self._num_seen)
        places = torch.arange(first, self._num_seen, device=keys.device) % self.size
        self.queue[places] = keys[-self.size :].to(self.queue)

    def forward(self, matched: Matched) -> Tensor:
        """Return the loss of one contrast group against the keys of earlier steps."""
        assert matched.keys is not None
        return queue_nce(matched.queries, matched.keys, self.earlier, self.temperature)

    def state_metrics(self) -> dict[str, Tensor]:
        """Return how many keys the queue holds."""
        return {"keys_held": self.num_seen.clamp(max=self.size)}


def _recount(module: nn.Module, _: object) -> None:
    assert isinstance(module, KeyQueue)
    module._num_seen = int(module.num_seen)
