"""SemanticKITTI (Behley et al., ICCV 2019): 64-beam LiDAR scans with a class per point.

    <root>/sequences/00/velodyne/000000.bin    x, y, z in metres and remission, float32
    <root>/sequences/00/labels/000000.label    uint32, the class in its lower half

It is an evaluation data set: no images and no poses are read. The LiDAR's x points forward, y left.
"""

import json
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from olivine.core.errors import UserError
from olivine.core.hashing import text_hash
from olivine.core.storage import Store
from olivine.data.dataset import Dataset, Frames
from olivine.data.datasets.semantic_kitti.layout import SEQUENCES, Listing, sequences_there
from olivine.data.predictions import PredictionFormat


class SemanticKitti(Dataset):
    """Scans of SemanticKITTI.

    `frame_step` is SLidR's label fraction, here by scan and not by scene. Of the 19,130 scans
    of train, steps 100, 20, 10, 5 and 1 keep 192, 957, 1913, 3826 and 19,130. A network sees
    remission * `intensity_scale` + `intensity_offset`; as in the published codes that is 1 to
    2, where nuScenes has 0 to 255 (method.md §8.4).
    """

    kind: ClassVar[str] = "semantic_kitti"

    split: Literal["train", "val", "test"] = Field(
        default="train",
        description="Split: train is sequences 00 to 07, 09 and 10, val is 08, test is 11 to 21.",
    )
    frame_step: int = Field(
        default=1,
        ge=1,
        description="Label fraction: keeps the first scan and every one this many scans further.",
    )
    intensity_scale: float = Field(default=1.0, description="Factor of the remission (0 to 1).")
    intensity_offset: float = Field(
        default=1.0, description="Number added to the scaled remission."
    )
    allow_partial: bool = Field(
        default=False,
        description="Whether an incomplete copy is accepted; the present scans are used.",
    )

    @property
    def scene_source(self) -> str:
        """The same for every subclass that names no other."""
        return "semantic_kitti"

    def surely_shares(self, other: Dataset) -> bool:
        """Return whether both are of one split, whose first scan every step keeps."""
        return isinstance(other, SemanticKitti) and self.split == other.split

    def prediction_format(self) -> PredictionFormat:
        """Return SemanticKITTI's own format."""
        from olivine.data.datasets.semantic_kitti.predictions import SemanticKittiPredictions

        return SemanticKittiPredictions()

    def open_at(self, root: str | Path, cache_dir: Path) -> Frames:
        """Return the scans; names and sizes of all files of the split are checked, by listings.

        The fingerprint is of the sequences and their numbers of scans; the files' sizes are other
        parts of the identity. Raises UserError if a sequence or a file is missing, or if a file has
        a wrong size.
        """
        from olivine.data.datasets.semantic_kitti.frames import SemanticKittiFrames

        store = Store(root)
        listings = [Listing.of(store, name) for name in self._sequences(store)]
        for listing in listings:
            fault = next(listing.faults(may_be_partial=self.allow_partial), None)
            if fault is not None:
                raise UserError(
                    f"{store.path(fault.name)}: {fault.detail}; `olivine data check {root}` lists "
                    "all such faults."
                    + (_PARTIAL if fault.kind == "incomplete" and listing.scans else "")
                )
        sequences = tuple((listing.sequence, len(listing.scans)) for listing in listings)
        return SemanticKittiFrames(
            root,
            sequences,
            self.frame_step,
            self.intensity_scale,
            self.intensity_offset,
            self.split != "test",
            text_hash(json.dumps(sequences), 16),
        )

    def _sequences(self, store: Store) -> list[str]:
        """Return the split's sequences; raise UserError if one is missing."""
        there, wanted = sequences_there(store), SEQUENCES[self.split]
        found = [name for name in wanted if name in there]
        if not there:
            raise UserError(
                f"No SemanticKITTI at {store.root}: it has no sequences/00 to sequences/21. Set "
                "its root by --set train.root=PATH and --set val.root=PATH, or for all data sets "
                "by --set runtime.data_root=PATH."
            )
        if not found or (len(found) < len(wanted) and not self.allow_partial):
            lacks = ", ".join(name for name in wanted if name not in found)
            raise UserError(
                f"{store.path('sequences')} lacks {lacks} of split {self.split!r}; it has "
                f"{', '.join(there)}: unpack the rest." + (_PARTIAL if found else "")
            )
        return found


_PARTIAL = " To use the present scans alone, set the data set's allow_partial=true."
