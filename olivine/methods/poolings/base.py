"""The family of poolings, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from olivine.core.parts import Part

if TYPE_CHECKING:
    from olivine.methods.features import RowPooling


class Pooling(Part):
    """Averages features into groups before they are compared."""

    family: ClassVar[str] = "poolings"
    built_in: ClassVar[Mapping[str, str]] = {
        "cluster": "olivine.methods.poolings.cluster:Cluster",
        "segment": "olivine.methods.poolings.segment:Segment",
    }
    match: ClassVar[Literal["pixel", "time"]] = "pixel"  # of terms that it fits
    uses_segments: ClassVar[bool] = False  # True: it needs superpixels

    @property
    def shares_keys(self) -> bool:
        """Whether several queries have one key."""
        return False

    @abstractmethod
    def build(self) -> "RowPooling":
        """Return a function that averages the rows of pairs into one row per group."""
