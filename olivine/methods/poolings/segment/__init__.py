"""Superpixels instead of pixels: one query and one key per segment of an image (SLidR)."""

from typing import TYPE_CHECKING, ClassVar

from olivine.methods.poolings.base import Pooling

if TYPE_CHECKING:
    from olivine.methods.features import RowPooling


class Segment(Pooling):
    """Averages over the superpixels of an image; it has no settings."""

    kind: ClassVar[str] = "segment"
    uses_segments: ClassVar[bool] = True

    def build(self) -> "RowPooling":
        """Return what averages the rows of pairs into one row per group."""
        from olivine.methods.poolings.segment.pooling import pool_by_segment

        return pool_by_segment
