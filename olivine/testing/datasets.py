"""The contract of a data set."""

import pickle
from pathlib import Path

import numpy as np

from olivine.core.errors import UserError
from olivine.core.file_stats import FolderStats
from olivine.data.dataset import Dataset, Frames
from olivine.data.geometry.projection import correspondences
from olivine.data.identity.split import PARTS
from olivine.data.records import IGNORE, Frame
from olivine.testing.settings import check_settings, require

NUM_FRAMES = 6  # frames that are checked, spread over the split
RIGID = 1e-4


def check_dataset(dataset: Dataset, root: str | Path, cache_dir: str | Path) -> None:
    """Check the promises of a data set by opening it at `root`; indices go to `cache_dir`.

    Its settings can be written and read again. Its fingerprint is the same when it is opened again,
    and a pickle of it reads the same frames. Frames have unique tokens, a scene, finite points,
    classes of the vocabulary, rigid poses, and one image per camera, which can also be read by its
    name; cameras see some point. Files that `split_files()` names are there, each once and equally
    many of each frame, and `encoded_image()` is the image of `read_image()`; frames may lack both
    methods. Images and classes that were not requested are left out, except the images' names, and
    a later frame is of the same scene. A missing root raises UserError.

    Raises AssertionError for a promise that is broken, and UserError as `open` does.
    """
    check_settings(dataset)
    cache = Path(cache_dir)
    require(bool(dataset.scene_source), dataset, "its scenes have no source")
    frames = dataset.open(root, cache)
    _check_split(dataset, frames)
    again = dataset.open(root, cache)
    require(
        again.fingerprint == frames.fingerprint,
        dataset,
        "its fingerprint changes when it is opened again",
    )
    _check_files(dataset, frames, root)
    sent = pickle.loads(pickle.dumps(frames))
    for index in np.unique(np.linspace(0, len(frames) - 1, NUM_FRAMES).astype(int)).tolist():
        frame = frames.frame(index)
        _check_frame(dataset, frames, index, frame)
        _check_images(dataset, frames, frame)
        _check_less(dataset, frames, index)
        same = np.array_equal(sent.frame(index).xyz_m, frame.xyz_m)
        require(same, dataset, "a pickle of it reads other frames")
    try:
        dataset.override({"root": ""}).open(Path(root) / "nothing of this name", cache)
    except UserError:
        return
    require(False, dataset, "a missing root is opened")


def _check_split(dataset: Dataset, frames: Frames) -> None:
    num = len(frames)
    require(num > 0, dataset, "it has no frames")
    tokens, scenes = list(frames.tokens()), list(frames.scenes())
    require(len(set(tokens)) == num, dataset, f"{len(set(tokens))} tokens for {num} frames")
    require(len(scenes) == num, dataset, f"{len(scenes)} scenes for {num} frames")
    names = list(frames.class_names)
    require(0 < len(names) < IGNORE, dataset, f"it has {len(names)} classes, not 1 to 254")
    require(len(set(names)) == len(names), dataset, "two classes have one name")
    images = list(frames.image_names())
    require(len(set(images)) == len(images), dataset, "two images have one name")
    require(bool(frames.fingerprint), dataset, "it has no fingerprint")


def _check_files(dataset: Dataset, frames: Frames, root: str | Path) -> None:
    named = getattr(frames, "split_files", None)
    if named is None:
        return
    stats = FolderStats(frames.root)
    for part in PARTS:
        names = list(getattr(named(), part))
        require(
            len(set(names)) == len(names), dataset, f"split_files() has one of its {part} twice"
        )
        below = not any(name.startswith("/") or ".." in name.split("/") for name in names)
        require(below, dataset, f"split_files() has {part} that are no paths below {root}")
        there = stats.of(names)
        lacking = next((name for name in names if name not in there), "")
        require(
            not lacking, dataset, f"split_files() names {lacking!r} of {part}, which is no file"
        )
        even = len(names) % len(frames) == 0
        require(even, dataset, f"split_files() has {len(names)} {part} for {len(frames)} frames")


def _check_frame(dataset: Dataset, frames: Frames, index: int, frame: Frame) -> None:
    where = f"frame {index}"
    same = (frame.token, frame.scene) == (frames.tokens()[index], frames.scenes()[index])
    require(same, dataset, f"{where} has another token or scene than in tokens() and scenes()")
    num = len(frame.xyz_m)
    whole = frame.xyz_m.shape == (num, 3) and frame.xyz_m.dtype == np.float32 and num > 0
    require(whole, dataset, f"{where}: xyz_m is not a float32 array of (points, 3)")
    for name in ("xyz_m", "intensity"):
        values = getattr(frame, name)
        finite = len(values) == num and bool(np.isfinite(values).all())
        require(finite, dataset, f"{where}: {name} is not finite, or has another length than xyz_m")
    if frame.class_ids is not None:
        ids = frame.class_ids
        known = (ids < len(frames.class_names)) | (ids == IGNORE)
        right = ids.shape == (num,) and ids.dtype == np.uint8 and bool(known.all())
        require(right, dataset, f"{where}: class_ids are not uint8 ids of the vocabulary, or 255")
    poses = [*frame.cam_SE3_lidar]
    poses += [] if frame.global_SE3_lidar is None else [frame.global_SE3_lidar]
    for pose in poses:
        turn = pose[:3, :3].astype(float)
        rigid = np.allclose(turn @ turn.T, np.eye(3), atol=RIGID) and np.linalg.det(turn) > 0
        rigid = rigid and np.array_equal(pose[3], [0, 0, 0, 1])
        require(bool(rigid), dataset, f"{where}: a pose is not a rotation and translation")


def _check_images(dataset: Dataset, frames: Frames, frame: Frame) -> None:
    num = len(frames.camera_names)
    for name in ("images", "image_names", "cam_SE3_lidar", "intrinsics_px", "image_size_px"):
        found = len(getattr(frame, name))
        require(found == num, dataset, f"{found} {name} for {num} cameras")
    names = set(frames.image_names())
    parts = zip(frame.images, frame.image_names, frame.image_size_px, strict=True)
    for image, name, size_px in parts:
        require(name in names, dataset, f"image_names() lacks {name}")
        same = tuple(image.size_px) == tuple(size_px)
        require(same, dataset, f"{name} has another size than its calibration")
        same = np.array_equal(image.pixels(), frames.read_image(name))
        require(same, dataset, f"read_image() gives another {name} than the frame")
        if encoded := getattr(frames, "encoded_image", None):
            same = np.array_equal(encoded(name).pixels(), image.pixels())
            require(same, dataset, f"encoded_image() gives another {name} than the frame")
    if num:
        pairs = correspondences(
            frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, frame.image_size_px
        )
        require(len(pairs) > 0, dataset, f"no camera sees a point of {frame.token}")


def _check_less(dataset: Dataset, frames: Frames, index: int) -> None:
    bare = frames.frame(index, images=False, classes=False)
    require(len(bare.images) == 0, dataset, "images that were not requested are read")
    require(bare.class_ids is None, dataset, "classes that were not requested are read")
    names = frames.frame(index).image_names
    promise = "without its images a frame no longer names them"
    require(bare.image_names == names, dataset, promise)
    try:
        later = frames.later(index, 1)
    except UserError:  # the scene is too short
        return
    scenes = frames.scenes()
    require(scenes[later] == scenes[index], dataset, "a later frame is of another scene")
