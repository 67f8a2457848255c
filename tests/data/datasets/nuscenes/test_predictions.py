"""Predictions in nuScenes-lidarseg's format, with nuscenes-devkit as the judge."""

import json
from pathlib import Path

import numpy as np
import pytest
from nuscenes import NuScenes
from nuscenes.eval.lidarseg.evaluate import LidarSegEval
from nuscenes.eval.lidarseg.validate_submission import validate_submission

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES
from olivine.data.datasets.nuscenes.frames import NuscenesFrames
from olivine.data.datasets.nuscenes.predictions import LidarsegPredictions
from olivine.data.predictions import PredictionFormat
from olivine.data.records import IGNORE

MINI_VAL = Nuscenes(version="v1.0-mini", split="mini_val")


@pytest.fixture(scope="module")
def frames(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> NuscenesFrames:
    opened = MINI_VAL.open(tiny_world, tmp_path_factory.mktemp("cache"))
    assert isinstance(opened, NuscenesFrames)
    return opened


@pytest.fixture(scope="module")
def devkit(tiny_world: Path) -> NuScenes:
    return NuScenes("v1.0-mini", str(tiny_world), verbose=False)


def test_scan_tokens_are_the_devkits(frames, devkit):
    for token, scan in zip(frames.tokens(), frames.scan_tokens(), strict=True):
        assert devkit.get("sample", token)["data"]["LIDAR_TOP"] == scan


def test_the_devkit_validates_what_is_written_and_scores_the_truth_as_perfect(
    frames, devkit, tmp_path
):
    """Points without a class are given any: the devkit leaves them out."""
    written = MINI_VAL.prediction_format()
    assert isinstance(written, PredictionFormat)
    for index, name in enumerate(written.split_names(frames)):
        truth = frames.frame(index, images=False).class_ids
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written.to_bytes(np.where(truth == IGNORE, 3, truth)))
    for name, data in written.split_files(uses_images=True).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    validate_submission(devkit, str(tmp_path), "mini_val")
    scores = LidarSegEval(devkit, str(tmp_path), "mini_val").evaluate()
    assert scores["miou"] == 1.0
    named = [name for name, iou in scores["iou_per_class"].items() if iou == 1.0]
    assert set(named) <= set(CLASS_NAMES)
    assert len(named) > 5


def test_the_ids_are_the_devkits(devkit):
    from nuscenes.eval.lidarseg.utils import LidarsegClassMapper

    index_of = LidarsegClassMapper(devkit).coarse_name_2_coarse_idx_mapping
    data = LidarsegPredictions().to_bytes(np.arange(len(CLASS_NAMES), dtype=np.uint8))
    assert list(data) == [index_of[name] for name in CLASS_NAMES] == list(range(1, 17))


def test_what_is_written_is_read_again():
    class_ids = np.random.default_rng(0).integers(0, len(CLASS_NAMES), 1000).astype(np.uint8)
    written = LidarsegPredictions("val")
    np.testing.assert_array_equal(written.from_bytes(written.to_bytes(class_ids), "a"), class_ids)
    assert written.from_bytes(b"\0\1", "a").tolist() == [IGNORE, 0]
    with pytest.raises(UserError, match="a has the class 17"):
        written.from_bytes(b"\1\21", "a")


@pytest.mark.parametrize("uses_images", [True, False])
def test_the_submission_says_what_was_used(uses_images):
    ((name, data),) = LidarsegPredictions("val").split_files(uses_images=uses_images).items()
    assert name == "val/submission.json"
    used = {name for name, value in json.loads(data)["meta"].items() if value}
    assert used == {"use_lidar", *(["use_camera"] if uses_images else [])}
