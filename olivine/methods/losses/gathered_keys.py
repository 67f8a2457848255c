"""The keys of all workers together, with gradients."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.core.collectives import gather_rows
from olivine.methods.matched import WHOLE, Matched, StepPart


@dataclass(frozen=True)
class GatheredKeys:
    """The keys of a whole step: of all contrast groups of all workers."""

    keys: Float[Tensor, "N D"]
    class_ids: Int[Tensor, " _"]  # of the keys, unless they are shared
    own: Int[Tensor, " M"]  # row here of the key of each of this worker's queries
    group_ids: Int[Tensor, " M"]  # their contrast groups

    def own_of(self, matched: Matched) -> Int[Tensor, " m"]:
        """Return the row in these keys of the key of each query of one contrast group."""
        return self.own[self.group_ids == matched.group_ids[:1]]


def gather_keys(matched: Matched) -> GatheredKeys:
    """Return the keys of all workers; `matched` holds all of this worker's groups."""
    assert matched.keys is not None
    keys, first = gather_rows(matched.keys)
    class_ids, _ = gather_rows(matched.class_ids)
    own = matched.key_of
    if own is None:
        own = torch.arange(len(matched.keys), device=keys.device)
    own = first + own
    return GatheredKeys(keys, class_ids, own, matched.group_ids)


class GathersKeys(nn.Module):
    """The base of a loss whose candidates are the keys of the whole step."""

    batch: GatheredKeys

    def observe(self, matched: Matched, part: StepPart = WHOLE) -> None:
        """Gather this step's keys; the step must not come in parts."""
        assert part.is_first
        assert part.is_last
        self.batch = gather_keys(matched)

    def state_metrics(self) -> dict[str, Tensor]:
        """Return no metrics; no state is kept between steps."""
        return {}
