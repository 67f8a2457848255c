from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES as TRUE_NAMES
from olivine.data.geometry.projection import correspondences, project
from olivine.data.pair_labels import PairLabels
from olivine.data.records import IGNORE, Frame
from olivine.data.samples import make_sample
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.labellers.lidarseg_truth import CLASS_NAMES, LidarsegTruth, true_map
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import NullTracker
from tests.support.image_folder import FolderFrames, write_images

CPU = torch.device("cpu")
REAL = {"nuscenes_scene0061_keyframe0": "v1.0-mini", "nuscenes_val_fd842039": "v1.0-trainval"}


def check_maps(frame: Frame, maps: list[np.ndarray]) -> None:
    """Every pair reads its point's class, or that of a nearer point at the same pixel."""
    assert frame.class_ids is not None
    size = frame.image_size_px
    pairs = correspondences(frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, size)
    camera, row, column = pairs.pixel_index.T
    _, depth_m = project(frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px)
    own = frame.class_ids[pairs.point_index]
    read = np.array([maps[c][r, u] for c, r, u in pairs.pixel_index])
    pixel = (camera * size[:, 0].max() + row) * size[:, 1].max() + column
    nearest_first = np.lexsort((depth_m[camera, pairs.point_index], pixel))
    _, first, group = np.unique(pixel[nearest_first], return_index=True, return_inverse=True)
    expected = np.empty_like(own)
    expected[nearest_first] = own[nearest_first][first][group]
    np.testing.assert_array_equal(read, expected)
    assert (read == own).mean() > 0.9
    hit = np.zeros((len(maps), *maps[0].shape), bool)
    hit[camera, row, column] = True
    assert (np.stack(maps)[~hit] == IGNORE).all()


@pytest.mark.parametrize("name", REAL)
def test_pairs_of_a_real_keyframe_read_their_own_class(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    dataset = Nuscenes(version=REAL[name], split="all")
    frame = dataset.open(shared_data / name, tmp_path).frame(0, images=False)
    classes = np.random.default_rng(0).integers(0, 17, len(frame.xyz_m)).astype(np.uint8)
    classes[classes == 16] = IGNORE

    frame = replace(frame, class_ids=classes)

    check_maps(frame, [true_map(frame, camera) for camera in range(6)])


def test_pretraining_reads_the_truth_of_a_labelled_world(tiny_world: Path, tmp_path: Path) -> None:
    cameras = ("CAM_BACK", "CAM_FRONT_LEFT", "CAM_FRONT")
    dataset = Nuscenes(version="v1.0-mini", split="mini_val", cameras=cameras)
    config = LabelConfig(dataset=dataset, labeller=LidarsegTruth())
    runtime = Runtime(data_root=str(tiny_world), out=str(tmp_path / "out"), cache_dir=str(tmp_path))

    result = label(config, runtime, NullTracker())

    frames = dataset.open(tiny_world, tmp_path)
    store = LabelStore.of(tmp_path / "out", frames, LidarsegTruth())
    frame = frames.frame(1)
    check_maps(frame, [store.read(name, (90, 160)) for name in frame.image_names])
    sample = make_sample(frame, PairLabels(store.read_for), cameras)
    assert frame.class_ids is not None
    own = frame.class_ids[sample.pairs.point_index]
    assert (sample.pair_class == own).mean() > 0.9
    assert result.quality.points is not None
    assert result.quality.points.accuracy > 0.9


def test_the_nearest_point_wins_whatever_the_order() -> None:
    frame = Frame(
        token="t", scene="s", time_ns=0, intensity=np.zeros(3), images=(), image_names=("a.jpg",),
        xyz_m=np.array([[0.0, 0.0, 8.0], [0.0, 0.0, 4.0], [0.0, 0.0, 6.0]]),
        cam_SE3_lidar=np.eye(4)[None], image_size_px=np.array([[8, 12]]),
        intrinsics_px=np.array([[[10.0, 0, 5], [0, 10, 4], [0, 0, 1]]]),
        class_ids=np.array([1, 2, 3], np.uint8),
    )  # fmt: skip

    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        turned = replace(frame, xyz_m=frame.xyz_m[order], class_ids=frame.class_ids[order])
        ids = true_map(turned, 0)
        assert ids[4, 5] == 2
        assert (ids != IGNORE).sum() == 1


def test_data_without_truth_is_refused(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "nuscenes_scene0061_keyframe0"
    frames = Nuscenes(version="v1.0-mini", split="all").open(root, tmp_path)
    with pytest.raises(UserError, match="has no lidarseg labels"):
        LidarsegTruth().build(CPU, frames)
    write_images(tmp_path / "folder", 1)
    with pytest.raises(UserError, match="has dark, bright; choose another"):
        LidarsegTruth().build(CPU, FolderFrames(tmp_path / "folder"))


def test_an_image_of_another_split_is_refused(tiny_world: Path, tmp_path: Path) -> None:
    frames = Nuscenes(version="v1.0-mini", split="mini_val").open(tiny_world, tmp_path)
    with pytest.raises(UserError, match=r"samples/none\.jpg is no image of the frames"):
        LidarsegTruth().build(CPU, frames)([np.zeros((90, 160, 3), np.uint8)], ["samples/none.jpg"])


def test_it_says_that_it_reads_the_truth() -> None:
    assert LidarsegTruth.reads_truth
    assert LidarsegTruth().class_names == CLASS_NAMES == TRUE_NAMES
