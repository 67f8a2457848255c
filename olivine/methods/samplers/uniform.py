"""Every pair is as likely as any other (PPKT)."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from olivine.methods.samplers.base import Sampler

if TYPE_CHECKING:
    from olivine.methods.samplers.weighted_draw import PairSampler


class Uniform(Sampler):
    """Settings: with `scope` "scan" all scans of a group are as likely, whatever their pairs."""

    kind: ClassVar[str] = "uniform"

    scope: Literal["group", "scan"] = "group"

    def build(self) -> "PairSampler":
        """Return what chooses rows of a table of pairs by a generator, none twice."""
        from olivine.methods.samplers.weighted_draw import choose_uniform

        return partial(choose_uniform, num_chosen=self.num_pairs, equal_scans=self.scope == "scan")
