"""A synthetic world of city streets, written as a true nuScenes v1.0-mini data set.

With it the whole chain runs anywhere: it has real tables, JPEGs, 32-ring scans with missed beams,
point labels and ego poses per sensor. Images and scans are ray-cast from the same triangles at each
sensor's own time, and the true class of every pixel is written below `truth/`. Only keyframes are
written, without sweeps between them and without radars.

`export.writing.write_world` writes it; `Synthetic` opens it through the nuScenes reader.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.data.dataset import Dataset, Frames
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import holds_world
from olivine.data.datasets.synthetic.rig import CAMERA_NAMES
from olivine.data.predictions import PredictionFormat


class Synthetic(Dataset):
    """Keyframes of the synthetic world; the first three settings are those of `Nuscenes`."""

    kind: ClassVar[str] = "synthetic"
    added: ClassVar[Mapping[str, Any]] = {"allow_partial": False}

    split: str = Field(
        default="mini_train", description="Split of v1.0-mini: mini_train, mini_val or all."
    )
    scene_step: int = Field(
        default=1,
        ge=1,
        description="Label fraction: keeps every scene whose number, from 1, is a multiple of it.",
    )
    cameras: tuple[str, ...] = Field(
        default=CAMERA_NAMES,
        description="Cameras whose images are read, in this order.",
    )
    allow_partial: bool = Field(
        default=False,
        description="Whether an incomplete copy is accepted; the scenes of which every scan, image "
        "and label file is there are used.",
    )
    world: WorldConfig = Field(
        default=WorldConfig(), description="The world that the data set must hold."
    )

    @property
    def scene_source(self) -> str:
        """A source per seed: worlds of other seeds have other streets under the same names."""
        return f"synthetic, seed {self.world.seed}"

    def surely_shares(self, other: Dataset) -> bool:
        """Return whether this is a whole split that contains the other's."""
        from olivine.data.datasets.nuscenes.splits import split_contains

        if isinstance(other, Synthetic) and self.scene_step == 1:
            return split_contains(self.split, other.split)
        return super().surely_shares(other)

    def prediction_format(self) -> PredictionFormat:
        """Return nuScenes-lidarseg's format for this split, in which its labels are written."""
        from olivine.data.datasets.nuscenes.predictions import LidarsegPredictions

        return LidarsegPredictions(self.split)

    def open_at(self, root: str | Path, cache_dir: Path) -> Frames:
        """Return the frames; raise UserError if the root does not hold this world."""
        from olivine.data.datasets.nuscenes import Nuscenes

        if not holds_world(self.world, root):
            changed = WorldConfig().flatten()
            wanted = [f"{k}={v}" for k, v in self.world.flatten().items() if changed[k] != v]
            settings = "".join(f" --set {setting}" for setting in wanted)
            raise UserError(
                f"{root} does not hold the requested synthetic world;  "
                f"make it: olivine data synth {'FOLDER' if is_bucket(root) else root}{settings}"
                + (f" and copy the folder to {root}" if is_bucket(root) else "")
            )
        reader = Nuscenes.from_dict(
            {
                "version": "v1.0-mini",
                "split": self.split,
                "scene_step": self.scene_step,
                "cameras": self.cameras,
                "allow_partial": self.allow_partial,
            }
        )
        return reader.open(root, cache_dir)
