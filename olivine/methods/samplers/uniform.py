"""Every pair is as likely as any other (PPKT)."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.methods.samplers.base import Sampler

if TYPE_CHECKING:
    from olivine.methods.samplers.weighted_draw import PairSampler


class Uniform(Sampler):
    """Samples every pair with the same probability."""

    kind: ClassVar[str] = "uniform"

    scope: Literal["group", "scan"] = Field(
        default="group",
        description="Where sampling is balanced: over the whole contrast group, or within each "
        "scan, all scans being equally likely.",
    )

    def build(self) -> "PairSampler":
        """Return what chooses rows of a table of pairs by a generator, none twice."""
        from olivine.methods.samplers.weighted_draw import choose_uniform

        return partial(choose_uniform, num_chosen=self.num_pairs, equal_scans=self.scope == "scan")
