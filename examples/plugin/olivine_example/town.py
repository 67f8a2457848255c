"""The data set that `make_town` writes: scans, images and labels, one .npz file per frame.

<root>/<scene>/<frame>.npz holds xyz_m (points, 3), intensity (points), class_ids (points), images
(cameras, rows, columns, 3), cam_SE3_lidar (cameras, 4, 4), intrinsics_px (cameras, 3, 3).
<root>/classes.txt and <root>/cameras.txt hold one name per line.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from olivine.core.errors import UserError
from olivine.data.dataset import Dataset, Frames
from olivine.data.images import DecodedImage
from olivine.data.records import Frame
from pydantic import Field


class Town(Dataset):
    """Settings: which scenes are read."""

    kind: ClassVar[str] = "town"

    scenes: tuple[str, ...] = Field(default=(), description="Names of scenes; empty: all.")

    def open_at(self, root: str | Path, cache_dir: Path) -> Frames:
        """Return the frames of the scenes; raise UserError if they are missing."""
        folder = Path(root)
        found = sorted(path.name for path in folder.glob("*/") if any(path.glob("*.npz")))
        missing = sorted(set(self.scenes) - set(found))
        if missing or not found:
            what = f"no scene {', '.join(missing)}" if missing else "no scene with .npz files"
            raise UserError(f"{folder} has {what}; it has {', '.join(found) or 'none'}.")
        scenes = self.scenes or found
        files = tuple(path for scene in scenes for path in sorted((folder / scene).glob("*.npz")))
        classes, cameras = (
            tuple(_lines(folder / f"{name}.txt")) for name in ("classes", "cameras")
        )
        return TownFrames(folder, files, classes, cameras, _hash(files))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"There is no {path}, which holds one name per line.")
    return path.read_text().split()


def _hash(files: Sequence[Path]) -> str:
    """Return 12 hex digits of the content; a large data set should store them in a file."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.parent.name}/{path.name}".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass
class TownFrames:
    """The frames of some scenes, in the order of their names."""

    root: Path
    files: tuple[Path, ...]
    class_names: tuple[str, ...]
    camera_names: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.files)

    def tokens(self) -> Sequence[str]:
        """Return the identity of every frame."""
        return [f"{path.parent.name}-{path.stem}" for path in self.files]

    def scenes(self) -> Sequence[str]:
        """Return the scene of every frame."""
        return [path.parent.name for path in self.files]

    def image_names(self) -> Sequence[str]:
        """Return every image as scene/frame/camera.png, frame by frame."""
        return [name for path in self.files for name in self._images_of(path)]

    def _images_of(self, path: Path) -> tuple[str, ...]:
        return tuple(f"{path.parent.name}/{path.stem}/{name}.png" for name in self.camera_names)

    def read_image(self, name: str) -> np.ndarray:
        """Return one image as RGB; raise UserError for an unknown name."""
        scene, frame, camera = name.removesuffix(".png").split("/")
        if camera not in self.camera_names:
            raise UserError(f"There is no image {name}.")
        arrays = _read(self.root / scene / f"{frame}.npz")
        return arrays["images"][self.camera_names.index(camera)]

    def later(self, index: int, num_keyframes: int) -> int:
        """Return the frame of the same scene `num_keyframes` ahead, or else as many behind."""
        scenes = self.scenes()
        for place in (index + num_keyframes, index - num_keyframes):
            if 0 <= place < len(scenes) and scenes[place] == scenes[index]:
                return place
        raise UserError(f"Scene {scenes[index]} is shorter than {num_keyframes + 1} frames.")

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Read one frame; images and classes are left out unless requested."""
        path, arrays = self.files[index], _read(self.files[index])
        shown = tuple(DecodedImage(image) for image in arrays["images"]) if images else ()
        size_px = arrays["images"].shape[1:3]
        return Frame(
            token=self.tokens()[index],
            scene=path.parent.name,
            time_ns=0,
            xyz_m=arrays["xyz_m"].astype(np.float32),
            intensity=arrays["intensity"].astype(np.float32),
            images=shown,
            image_names=self._images_of(path),
            cam_SE3_lidar=arrays["cam_SE3_lidar"],
            intrinsics_px=arrays["intrinsics_px"],
            image_size_px=np.array([size_px] * len(self.camera_names)),
            class_ids=arrays["class_ids"].astype(np.uint8) if classes else None,
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {error}") from None
