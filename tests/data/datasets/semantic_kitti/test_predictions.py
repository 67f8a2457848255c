"""Predictions in SemanticKITTI's format: the benchmark's own map, and back."""

import numpy as np
import pytest
import yaml

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.datasets.semantic_kitti.classes import CLASS_NAMES, FINE_CLASSES
from olivine.data.datasets.semantic_kitti.frames import read_fine_ids
from olivine.data.datasets.semantic_kitti.predictions import (
    LEARNING_MAP_INVERSE,
    SemanticKittiPredictions,
)
from olivine.data.predictions import PredictionFormat
from olivine.data.records import IGNORE
from tests.support.kitti_scans import SmallKitti

FORMAT = SemanticKittiPredictions()


def test_the_inverse_map_is_the_benchmarks_own(shared_data):
    official = yaml.safe_load((shared_data / "semantickitti/semantic-kitti.yaml").read_text())
    inverse = official["learning_map_inv"]
    assert [inverse[place + 1] for place in range(len(CLASS_NAMES))] == list(LEARNING_MAP_INVERSE)


def test_what_is_written_is_read_again():
    class_ids = np.random.default_rng(0).integers(0, len(CLASS_NAMES), 1000).astype(np.uint8)
    data = FORMAT.to_bytes(class_ids)
    assert isinstance(FORMAT, PredictionFormat)
    np.testing.assert_array_equal(FORMAT.from_bytes(data, "a.label"), class_ids)
    written = np.frombuffer(data, "<u4")
    np.testing.assert_array_equal(written, np.array(LEARNING_MAP_INVERSE)[class_ids])


def test_the_reader_of_labels_reads_predictions(tmp_path):
    class_ids = np.arange(len(CLASS_NAMES), dtype=np.uint8)
    (tmp_path / "a.label").write_bytes(FORMAT.to_bytes(class_ids))
    fine = read_fine_ids(Store(tmp_path), "a.label", len(class_ids))
    assert [FINE_CLASSES[int(number)][1] for number in fine] == list(CLASS_NAMES)


def test_real_labels_are_read_as_classes(shared_data):
    path = next((shared_data / "semantickitti/sequences/00/labels").glob("*.label"))
    class_ids = FORMAT.from_bytes(path.read_bytes(), str(path))
    again = FORMAT.from_bytes(FORMAT.to_bytes(class_ids[class_ids != IGNORE]), "again")
    np.testing.assert_array_equal(again, class_ids[class_ids != IGNORE])


def test_files_lie_where_the_benchmark_looks(tmp_path):
    SmallKitti(tmp_path, {"08": 3})
    frames = SemanticKitti(split="val", allow_partial=True).open(tmp_path, tmp_path)
    assert FORMAT.split_names(frames) == [
        f"sequences/08/predictions/{number:06d}.label" for number in range(3)
    ]
    assert FORMAT.split_files(uses_images=True) == {}


def test_what_is_no_such_file_is_told(tiny_world, tmp_path):
    with pytest.raises(UserError, match=r"a\.label has 3 bytes"):
        FORMAT.from_bytes(b"abc", "a.label")
    with pytest.raises(UserError, match=r"a\.label has the class 7, which its format does not"):
        FORMAT.from_bytes(np.array([10, 7], "<u4").tobytes(), "a.label")
    from olivine.data.datasets.nuscenes import Nuscenes

    frames = Nuscenes(version="v1.0-mini", split="mini_val").open(tiny_world, tmp_path)
    with pytest.raises(UserError, match="is no SemanticKITTI data set"):
        FORMAT.split_names(frames)
