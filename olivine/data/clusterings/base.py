"""The family of clusterings, and what each of them does."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from olivine.core.hashing import value_hash
from olivine.core.parts import Part


class Clustering(Part):
    """Groups the points of scans that lie in one frame of reference into things.

    A thing keeps its id from scan to scan: the ids are superpoints over time.
    """

    family: ClassVar[str] = "clusterings"
    built_in: ClassVar[Mapping[str, str]] = {
        "hdbscan": "olivine.data.clusterings.hdbscan:Hdbscan",
    }

    num_keyframes_ahead: int = Field(
        default=1,
        ge=0,
        description="Keyframes between a scan and the one it is compared with; 0 is the scan "
        "itself.",
    )

    @property
    def identity(self) -> str:
        """Return 12 hex digits: two clusterings of one identity make the same clusters."""
        return value_hash([self.what_decides(), self.code_version])

    @abstractmethod
    def __call__(self, clouds: Sequence[Float[np.ndarray, "_ 3"]]) -> list[Int[np.ndarray, " _"]]:
        """Return the id of each point of each cloud, -1 where it belongs to nothing."""
