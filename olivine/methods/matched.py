"""Matched rows, and which part of a step they belong to."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class StepPart:
    """The part of a step that a batch is, if a step's batch comes in parts."""

    index: int = 0
    count: int = 1
    groups: range | None = None  # ids of its contrast groups, with or without rows; None: unknown

    @property
    def is_first(self) -> bool:
        """Whether it is the first part of the step."""
        return self.index == 0

    @property
    def is_last(self) -> bool:
        """Whether the weights are updated after it."""
        return self.index == self.count - 1


WHOLE = StepPart()  # a step in one part


@dataclass(frozen=True)
class Matched:
    """Matched rows: queries[i] should resemble keys[i], or keys[key_of[i]] if keys are shared.

    Rows have unit length, or are means of such rows.
    """

    queries: Float[Tensor, "M D"]
    keys: Float[Tensor, "N D"] | None  # None where a loss uses the queries alone
    class_ids: Int[Tensor, " M"]  # weak class, or IGNORE
    group_ids: Int[Tensor, " M"]  # contrast group: only rows of one group compete
    teacher_rows: Float[Tensor, "M T"] | None = None  # the teacher's own features, if requested
    key_of: Int[Tensor, " M"] | None = None  # None: every query has a key of its own

    def take(self, chosen: Tensor | slice) -> "Matched":
        """Return the rows that an index or a mask chooses; of shared keys, those still in use."""
        shared = self.key_of is not None
        kept = {
            name: value[chosen]
            for name, value in vars(self).items()
            if value is not None and not (shared and name == "keys")
        }
        if shared:
            assert self.keys is not None
            used, kept["key_of"] = torch.unique(kept["key_of"], return_inverse=True)
            kept["keys"] = self.keys[used]
        return replace(self, **kept)
