"""Superpoints over time: one key per thing that two scans show (Seal)."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.methods.poolings.base import Pooling

if TYPE_CHECKING:
    from olivine.methods.features import RowPooling


class Cluster(Pooling):
    """Averages by superpoint; the key is the mean of the same superpoint in the later scan."""

    kind: ClassVar[str] = "cluster"
    match: ClassVar[Literal["pixel", "time"]] = "time"
    queries: Literal["means", "points"] = Field(
        default="means",
        description="Queries: means of superpoints (Seal's temporal term), or the points "
        "themselves (its point-to-segment term).",
    )

    @property
    def shares_keys(self) -> bool:
        """Whether several queries have one key."""
        return self.queries == "points"

    def build(self) -> "RowPooling":
        """Return what averages the rows of pairs into one row per group."""
        from olivine.methods.poolings.cluster.pooling import pool_by_cluster

        return partial(pool_by_cluster, queries_are_points=self.queries == "points")
