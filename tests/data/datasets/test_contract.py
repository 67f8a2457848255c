"""Every data set keeps the promises that `olivine.testing` asks of anybody's."""

from pathlib import Path

from olivine.data.dataset import Dataset
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.datasets.synthetic import Synthetic
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.testing import check_dataset
from tests.support.kitti_scans import SmallKitti

WORLD = WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120)  # `tiny_world`


def test_nuscenes_keeps_its_promises(tiny_world: Path, tmp_path: Path) -> None:
    check_dataset(Nuscenes(version="v1.0-mini", split="mini_train"), tiny_world, tmp_path)


def test_the_synthetic_world_keeps_its_promises(tiny_world: Path, tmp_path: Path) -> None:
    check_dataset(Synthetic(world=WORLD), tiny_world, tmp_path)


def test_semantic_kitti_keeps_its_promises(tmp_path: Path) -> None:
    SmallKitti(tmp_path / "kitti", {f"{sequence:02d}": 3 for sequence in range(11)})
    check_dataset(
        SemanticKitti(split="train", allow_partial=True), tmp_path / "kitti", tmp_path / "cache"
    )


def test_every_kind_is_here() -> None:
    assert set(Dataset.built_in) == {"nuscenes", "synthetic", "semantic_kitti"}
