"""Every pair has the same probability (PPKT)."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.methods.samplers.base import Sampler

if TYPE_CHECKING:
    from olivine.methods.samplers.weighted_sampling import PairSampler


class Uniform(Sampler):
    """Samples every pair with the same probability."""

    kind: ClassVar[str] = "uniform"

    scope: Literal["group", "scan"] = Field(
        default="group",
        description="Where sampling is balanced: over the whole contrast group, or within each "
        "scan, all scans being equally likely.",
    )

    def build(self) -> "PairSampler":
        """Return a function that samples rows of a table of pairs, none twice."""
        from olivine.methods.samplers.weighted_sampling import choose_uniform

        return partial(choose_uniform, num_chosen=self.num_pairs, equal_scans=self.scope == "scan")
