"""Far points and rare classes are as likely as near and common ones (OLIVINE, DCAS)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.methods.samplers.base import Sampler

if TYPE_CHECKING:
    from olivine.methods.samplers.weighted_draw import PairSampler


class DensityCategory(Sampler):
    """Samples pairs inversely to the density of points and to the size of their class.

    Pairs without a class are never sampled while the category factor is on. With
    `scope="scan"`, density and class sizes are those of the pair's own scan; the published code
    takes both over the group.
    """

    kind: ClassVar[str] = "density_category"

    density_temperature: float = Field(
        default=1.0, ge=0, description="Exponent of the density factor; 0 switches it off."
    )
    category_temperature: float = Field(
        default=1.0,
        ge=0,
        description="Exponent of the class factor; 0 switches it off, and no labels are needed.",
    )
    range_step_m: float = Field(
        default=0.1,
        ge=0.001,
        description="Width (m) of the range bins in which density is counted.",
    )
    scope: Literal["group", "scan"] = Field(
        default="group",
        description="Where sampling is balanced: over the whole contrast group, or within each "
        "scan, all scans being equally likely.",
    )

    @property
    def uses_classes(self) -> bool:
        """Whether it needs weak labels."""
        return self.category_temperature > 0

    def build(self) -> "PairSampler":
        """Return what chooses rows of a table of pairs by a generator, none twice."""
        from olivine.methods.samplers.density_category.sampler import DensityCategorySampler

        return DensityCategorySampler(
            num_pairs=self.num_pairs,
            density_temperature=self.density_temperature,
            category_temperature=self.category_temperature,
            range_step_m=self.range_step_m,
            equal_scans=self.scope == "scan",
        )
