"""nuScenes (Caesar et al., CVPR 2020) with lidarseg labels, read without its devkit.

Only keyframes are read: one LiDAR scan, six images and, where the version has them, a class per
point. Scenes are in the order of scene.json, keyframes in the order in which they were recorded.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from olivine.core.errors import UserError, nearest
from olivine.core.file_stats import FolderStats
from olivine.data.dataset import Dataset, Frames
from olivine.data.datasets.nuscenes.splits import (
    SPLITS,
    every_kth,
    scenes_in_split,
    split_contains,
)
from olivine.data.datasets.nuscenes.tables import CAMERAS
from olivine.data.predictions import PredictionFormat

if TYPE_CHECKING:
    from olivine.data.datasets.nuscenes.frames import NuscenesFrames


class Nuscenes(Dataset):
    """Keyframes of nuScenes.

    `scene_step` is SLidR's label fraction, over the scenes in the order of scene.json. Of the
    700 scenes of train, steps 100, 20, 10, 4 and 1 keep 7, 35, 70, 175 and 700.
    """

    kind: ClassVar[str] = "nuscenes"
    added: ClassVar[Mapping[str, Any]] = {"allow_partial": False}

    version: Literal["v1.0-mini", "v1.0-trainval", "v1.0-test"] = Field(
        default="v1.0-trainval",
        description="Version of nuScenes; its tables lie in a folder of this name.",
    )
    split: str = Field(
        default="train",
        description="Official split, SLidR's parametrizing (600 scenes) or verifying (100), or "
        "all.",
    )
    scene_step: int = Field(
        default=1,
        ge=1,
        description="Label fraction: keeps every scene whose number, from 1, is a multiple of it.",
    )
    cameras: tuple[str, ...] = Field(
        default=CAMERAS,
        description="Cameras whose images are read, in this order.",
    )
    allow_partial: bool = Field(
        default=False,
        description="Whether an incomplete copy is accepted; the scenes of which every scan, image "
        "and label file is there are used.",
    )

    @field_validator("split")
    @classmethod
    def _known_split(cls, split: str) -> str:
        if split not in SPLITS:
            raise ValueError(_one_of(split, SPLITS))
        return split

    @field_validator("cameras")
    @classmethod
    def _known_cameras(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        for name in cameras:
            if name not in CAMERAS:
                raise ValueError("each " + _one_of(name, CAMERAS))
        if not cameras or len(set(cameras)) < len(cameras):
            raise ValueError("name at least one camera and none of them twice")
        return cameras

    @property
    def scene_source(self) -> str:
        """One source for all versions, since v1.0-mini is a part of v1.0-trainval."""
        return "nuscenes"

    def surely_shares(self, other: Dataset) -> bool:
        """Return whether this is a whole split that contains the other's, of the same version."""
        if isinstance(other, Nuscenes) and self.version == other.version and self.scene_step == 1:
            return split_contains(self.split, other.split)
        return super().surely_shares(other)

    def prediction_format(self) -> PredictionFormat:
        """Return nuScenes-lidarseg's format for this split."""
        from olivine.data.datasets.nuscenes.predictions import LidarsegPredictions

        return LidarsegPredictions(self.split)

    def open_at(self, root: str | Path, cache_dir: Path) -> Frames:
        """Return the keyframes; the first call indexes the tables below `cache_dir`.

        Raises UserError if the root, the version or a table is missing or broken, if the split has
        no scene here, or if a keyframe lacks its scan or an image of a chosen camera.
        """
        from olivine.data.datasets.nuscenes.frames import NuscenesFrames
        from olivine.data.datasets.nuscenes.index import open_index

        index = open_index(root, self.version, cache_dir)
        names = [name for name, _, _ in index.scenes]
        positions = scenes_in_split(names, self.split)
        kept = every_kth(positions, self.scene_step)
        ranges = tuple(index.scenes[position] for position in kept)
        if not sum(last - first for _, first, last in ranges):
            raise UserError(self._nothing(root, names, len(positions)))
        prints = index.unlabelled_fingerprint, index.fingerprint
        frames = NuscenesFrames(root, self.version, cache_dir, self.cameras, *prints, ranges)
        frames.require_files()
        return self._whole_scenes(frames) if self.allow_partial else frames

    def _whole_scenes(self, frames: "NuscenesFrames") -> "NuscenesFrames":
        """Return the frames of the scenes whose files are all there.

        Raises UserError if no scene is whole.
        """
        stats, ranges = FolderStats(frames.root), []
        for scene in frames.ranges:
            files = replace(frames, ranges=(scene,)).split_files()
            names = [*files.scans, *files.images, *files.point_labels]
            if len(stats.of(names)) == len(names):
                ranges.append(scene)
        if not ranges:
            raise UserError(
                f"None of the {len(frames.ranges)} scenes of split {self.split!r} has all its "
                f"files below {frames.root}, so allow_partial=true leaves nothing; `olivine data "
                f"check {frames.root}` lists what is missing."
            )
        return replace(frames, ranges=tuple(ranges))

    def _nothing(self, root: str | Path, names: list[str], num_scenes: int) -> str:
        """Return the sentence that explains why no keyframe is left."""
        tables = f"{root}/{self.version}"
        if num_scenes:
            return (
                f"Split {self.split!r} has {num_scenes} scenes in {tables}, so "
                f"scene_step={self.scene_step} leaves none: set scene_step to {num_scenes} or less."
            )
        held = [f"{split} ({n})" for split in SPLITS if (n := len(scenes_in_split(names, split)))]
        return (
            f"Split {self.split!r} is empty: none of the {len(names)} scenes in "
            f"{tables} belongs to it. Splits with scenes: {', '.join(held) or 'none'}."
        )


def _one_of(given: str, allowed: tuple[str, ...]) -> str:
    hint = nearest(given, allowed).strip()
    return f"must be one of {', '.join(allowed)}" + (f" ({hint})" if hint else "")
