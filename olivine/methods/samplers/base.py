"""The family of samplers, and what each of them does."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.core.parts import Part

if TYPE_CHECKING:
    from olivine.methods.samplers.weighted_draw import PairSampler


class Sampler(Part):
    """Chooses which pairs of a contrast group a term sees."""

    family: ClassVar[str] = "samplers"
    built_in: ClassVar[Mapping[str, str]] = {
        "density_category": "olivine.methods.samplers.density_category:DensityCategory",
        "uniform": "olivine.methods.samplers.uniform:Uniform",
    }

    num_pairs: int = Field(
        default=4096,
        ge=1,
        description="Number of pairs that are chosen; where there are fewer, all of them.",
    )

    @property
    def uses_classes(self) -> bool:
        """Whether it needs weak labels."""
        return False

    @abstractmethod
    def build(self) -> "PairSampler":
        """Return what chooses rows of a table of pairs by a generator, none twice."""
