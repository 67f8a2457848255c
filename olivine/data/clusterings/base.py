"""The family of clusterings, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from olivine.core.hashing import value_hash
from olivine.core.parts import Part


class Clustering(Part):
    """Groups the points of scans in one coordinate frame into objects.

    An object has the same id in every scan, so the ids are superpoints over time.
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
        """Return 12 hex digits; clusterings with the same digits make the same clusters."""
        return value_hash([self.fingerprint_fields(), self.code_version])

    @abstractmethod
    def __call__(self, clouds: Sequence[Float[np.ndarray, "_ 3"]]) -> list[Int[np.ndarray, " _"]]:
        """Return the id of each point of each cloud; a point in no cluster has -1."""
