"""Data sets, labellers and what changes samples, that break one promise each, by their `fault`."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from olivine.core.hashing import text_hash
from olivine.data.augmentations.base import Augmentation
from olivine.data.clusterings.base import Clustering
from olivine.data.dataset import Dataset
from olivine.data.identity.split import SplitFiles
from olivine.data.records import Correspondences, Frame, Sample
from olivine.labels.labeller import Labeller
from olivine.testing.frames import InMemoryFrames
from tests.testing.broken_parts import NOTHING


class Shades(Labeller):
    """Dark and bright, with a fault."""

    fault: str = NOTHING

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("dark", "dark") if self.fault == "one name" else ("dark", "bright")

    @property
    def identity(self) -> str:
        return {
            "identity": text_hash("shades"),
            "no hash": "shades",
        }.get(self.fault, self.identity_of())

    def build(self, device: torch.device, frames: Any) -> Any:
        return self._label

    def _label(self, images: Any, names: Any) -> list[np.ndarray]:
        level = (
            np.mean([image.mean() for image in images]) if self.fault == "batch" and images else 100
        )
        maps = [(image[..., 1] > level).astype(np.uint8) for image in images]
        if self.fault == "id":
            return [ids + 1 for ids in maps]
        if self.fault == "size":
            return [ids[1:] for ids in maps]
        if self.fault == "dtype":
            return [ids.astype(np.int64) for ids in maps]
        if self.fault == "random":
            return [np.random.default_rng().integers(0, 2, ids.shape, np.uint8) for ids in maps]
        if self.fault == "changes its images":
            for image in images:
                image[:] = 0
        return maps[1:] if self.fault == "fewer" else maps


class Town(Dataset):
    """A street in memory, with a fault; its root must be there."""

    fault: str = NOTHING

    def open_at(self, root: Any, cache_dir: Any) -> Any:
        from pathlib import Path

        from olivine.core.errors import UserError

        if not Path(root).is_dir() and self.fault != "any root":
            raise UserError(f"No street at {root}.")
        return _Town(self.fault)


class _Town(InMemoryFrames):
    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        if fault == "fingerprint":
            self.fingerprint = text_hash(str(np.random.default_rng().random()))
        named = {
            "lost file": ("scans/0.bin",),
            "outside": ("../0.bin",),
            "file twice": ("a", "a"),
        }
        if fault in named:
            self.split_files = lambda: SplitFiles(scans=named[fault])

    def tokens(self) -> list[str]:
        return ["same"] * len(self) if self.fault == "tokens" else list(super().tokens())

    def later(self, index: int, num_keyframes: int) -> int:
        return (index + 3) % 6 if self.fault == "later" else super().later(index, num_keyframes)

    def frame(  # noqa: PLR0911, a fault each
        self, index: int, *, images: bool = True, classes: bool = True
    ) -> Frame:
        fault = self.fault
        frame = super().frame(
            index, images=images or fault == "images", classes=classes or fault == "classes"
        )
        if fault == "double":
            return replace(frame, xyz_m=frame.xyz_m.astype(np.float64))
        if fault == "not finite":
            return replace(frame, intensity=frame.intensity * np.nan)
        if fault == "unknown class" and frame.class_ids is not None:
            return replace(frame, class_ids=frame.class_ids + 10)
        if fault == "pose":
            return replace(frame, cam_SE3_lidar=frame.cam_SE3_lidar * 1.1)
        if fault == "no names" and not images:
            return replace(frame, image_names=())
        if fault == "scene":
            return replace(frame, scene="another")
        if fault == "unseen":
            return replace(frame, xyz_m=frame.xyz_m * np.float32([0, 0, 1]))
        if fault == "shuffled images":
            return replace(frame, images=frame.images[::-1])
        if fault == "drifts":
            noise = np.random.default_rng().normal(size=frame.xyz_m.shape)
            return replace(frame, xyz_m=(frame.xyz_m + noise).astype(np.float32))
        return frame


class Thin(Augmentation):
    """Drops every other point or so, with a fault."""

    fault: str = NOTHING

    @property
    def effect_on_images(self) -> Any:
        return "none"

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        if self.fault == "unseeded":
            generator = np.random.default_rng()
        keep = generator.random(len(sample.xyz_m)) < 0.5
        if self.fault == "drops all":
            keep[:] = False
        kept = keep[sample.pairs.point_index]
        pairs = sample.pairs.take(kept)
        row = np.cumsum(keep) - 1
        rows = pairs.point_index if self.fault == "old rows" else row[pairs.point_index]
        rows = np.minimum(rows, max(keep.sum() - 1, 0))
        pixel = pairs.pixel_index
        if self.fault == "moves pixels" and len(pixel):
            pixel = pixel[::-1]
        changed = replace(
            sample,
            **{
                name: getattr(sample, name)[keep]
                for name in (
                    "xyz_m",
                    "intensity",
                    "range_m",
                    "class_ids",
                    "scan_index",
                    "cluster_ids",
                )
            },
            pairs=Correspondences(rows, pixel),
            pair_class=sample.pair_class
            if self.fault == "old classes"
            else sample.pair_class[kept],
        )
        if self.fault == "old ranges":
            return replace(changed, range_m=changed.range_m[::-1])
        if self.fault == "flips" and sample.images:
            from olivine.data.images import DecodedImage

            mirrored = tuple(DecodedImage(image.pixels()[:, ::-1]) for image in sample.images)
            return replace(changed, images=mirrored)
        if self.fault == "in place":
            sample.xyz_m[:] *= 2
        return changed


class Boxes(Clustering):
    """Points above the ground by quadrant, with a fault."""

    fault: str = NOTHING

    def __call__(self, clouds: Any) -> list[np.ndarray]:
        ids = [
            np.where(c[:, 2] < -1.5, -1, (c[:, 0] > 0) + 2 * (c[:, 1] > 0)).astype(np.int64)
            for c in clouds
        ]
        if self.fault == "renames":
            return [found + 10 * n * (found >= 0) for n, found in enumerate(ids)]
        if self.fault == "one thing":
            return [np.minimum(found, 0) for found in ids]
        if self.fault == "by place":
            return [np.where(found >= 0, np.arange(len(found)) % 3, -1) for found in ids]
        if self.fault == "floats":
            return [found.astype(float) for found in ids]
        if self.fault == "ids below":
            return [found - 1 for found in ids]
        return [found[1:] for found in ids] if self.fault == "fewer" else ids
