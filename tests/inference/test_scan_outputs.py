"""Features and predictions of files and splits: right, whole, resumed, and never mixed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nuscenes import NuScenes
from nuscenes.eval.lidarseg.evaluate import LidarSegEval
from nuscenes.eval.lidarseg.validate_submission import validate_submission

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.datasets.semantic_kitti import classes as kitti_classes
from olivine.data.datasets.semantic_kitti.predictions import SemanticKittiPredictions
from olivine.inference import (
    PointClassifier,
    PointEncoder,
    load_segmenter,
)
from olivine.inference.output_folder import NOTE
from olivine.inference.scan_outputs import predict_files, predict_split, write_features
from olivine.inference.scan_sources import FileScans, SplitScans, whole_split
from tests.support.kitti_scans import SmallKitti
from tests.support.servers.bucket_server import BUCKET, s3_server


def test_features_of_files_lie_beside_their_points(backbone, scan_files, tmp_path):
    written = write_features(backbone, FileScans.of(scan_files), tmp_path, device="cpu")
    assert (written.num_written, written.num_kept) == (3, 0)
    encoder = PointEncoder(backbone, device="cpu")
    for path in scan_files:
        scan = np.fromfile(path, np.float32).reshape(-1, 5)
        with np.load(tmp_path / f"{path.name.removesuffix('.pcd.bin')}.npz") as arrays:
            np.testing.assert_array_equal(arrays["features"], encoder(scan))
            np.testing.assert_array_equal(arrays["xyz_m"], scan[:, :3])
            np.testing.assert_array_equal(arrays["intensity"], scan[:, 3])
            assert arrays["features"].dtype == np.float32


def test_features_may_be_half_as_large_and_alone(backbone, scan_files, tmp_path):
    scans = FileScans.of(scan_files[:1])
    write_features(backbone, scans, tmp_path, form="npy", dtype="float16", device="cpu")
    (name,) = scans.names()
    features = np.load(tmp_path / f"{name}.npy")
    expected = PointEncoder(backbone, "cpu")(np.fromfile(scan_files[0], "<f4").reshape(-1, 5))
    assert features.dtype == np.float16
    np.testing.assert_array_equal(features, expected.astype(np.float16))


def test_features_that_float16_cannot_hold_are_told(backbone, scan_files, tmp_path):
    class Large(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(1e6))

        def forward(self, voxels):
            return self.factor * (1 + voxels.features.expand(-1, 8))

    large = replace(backbone, network=Large())
    with pytest.raises(UserError, match="float16 cannot hold its features, which go up to"):
        write_features(large, FileScans.of(scan_files), tmp_path, dtype="float16", device="cpu")


def test_a_split_is_written_frame_by_frame(backbone, val, tmp_path):
    seen = []
    scans = SplitScans(val)
    written = write_features(
        backbone, scans, tmp_path, device="cpu", report=lambda *done: seen.append(done)
    )
    assert written.num_written == len(val)
    assert seen == [(number, len(val)) for number in range(1, len(val) + 1)]
    encoder = PointEncoder(backbone, "cpu")
    for index, token in enumerate(val.tokens()):
        frame = val.frame(index, images=False)
        with np.load(tmp_path / f"{token}.npz") as arrays:
            np.testing.assert_array_equal(arrays["features"], encoder(frame.xyz_m, frame.intensity))


def test_predictions_of_a_split_have_the_devkits_score(
    finished, tiny_world, val, tmp_path_factory, tmp_path
):
    """By nuscenes-devkit: each class's IoU and the mean are those of the evaluation."""
    network = load_segmenter(finished.finetuned.key.fingerprint, out=finished.out)
    dataset = finished.probe_config.val
    written = predict_split(network, dataset, val, tmp_path, device="cpu")
    assert written.num_written == len(val)
    devkit = NuScenes("v1.0-mini", str(tiny_world), verbose=False)
    validate_submission(devkit, str(tmp_path), "mini_val")
    scores = LidarSegEval(devkit, str(tmp_path), "mini_val").evaluate()
    ours = finished.finetuned.scores
    assert 100 * scores["miou"] == pytest.approx(ours["miou"], abs=1e-3)
    for name, iou in scores["iou_per_class"].items():
        if f"iou/{name}" in ours:
            assert 100 * iou == pytest.approx(ours[f"iou/{name}"], abs=1e-3), name
    submission = json.loads((tmp_path / "mini_val/submission.json").read_text())
    assert submission["meta"]["use_camera"] is False  # a random start was taught by no image


def test_predictions_of_kitti_are_read_again(kitti_network, tmp_path):
    kitti = SmallKitti(tmp_path / "kitti", {"08": 3})
    dataset = SemanticKitti(split="val", allow_partial=True)
    frames = dataset.open(kitti.root, tmp_path / "cache")
    predict_split(kitti_network, dataset, frames, tmp_path / "out", device="cpu")
    classifier = PointClassifier(kitti_network, "cpu")
    for number in range(3):
        path = tmp_path / f"out/sequences/08/predictions/{number:06d}.label"
        frame = frames.frame(number)
        expected = classifier(frame.xyz_m, frame.intensity)
        read = SemanticKittiPredictions().from_bytes(path.read_bytes(), str(path))
        np.testing.assert_array_equal(read, expected)
        assert path.stat().st_size == kitti.labels("08", number).stat().st_size
        assert set(np.frombuffer(path.read_bytes(), "<u4")) <= set(kitti_classes.FINE_CLASSES)


def test_predictions_of_files_have_the_format_of_the_heads_classes(
    network, kitti_network, scan_files, tmp_path
):
    scans = FileScans.of(scan_files[:1])
    (name,) = scans.names()
    scan = np.fromfile(scan_files[0], "<f4").reshape(-1, 5)
    expected = PointClassifier(network, "cpu")(scan)
    predict_files(network, scans, tmp_path / "auto", device="cpu")
    lidarseg = np.fromfile(tmp_path / f"auto/{name}_lidarseg.bin", np.uint8)
    np.testing.assert_array_equal(lidarseg, expected + 1)
    predict_files(network, scans, tmp_path / "npy", form="npy", device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / f"npy/{name}.npy"), expected)
    note = json.loads((tmp_path / "npy" / NOTE).read_text())
    assert note["made_by"]["class_names"] == list(network.class_names)

    kitti = SmallKitti(tmp_path / "kitti", {"08": 1})
    predict_files(
        kitti_network, FileScans.of([kitti.scan("08", 0)]), tmp_path / "kitti_out", device="cpu"
    )
    labels = np.fromfile(tmp_path / "kitti_out/000000.label", "<u4")
    assert len(labels) == 60


def test_one_scan_is_in_memory_at_a_time(backbone, val, tmp_path):
    """The next is read only when the last one's result is a file."""
    order = []

    class Watched:
        def __len__(self):
            return len(val)

        def names(self):
            return val.tokens()

        def stamps(self):
            return ["data"] * len(val)

        def read(self, index):
            order.append(len(list(tmp_path.glob("*.npz"))))
            return SplitScans(val).read(index)

    write_features(backbone, Watched(), tmp_path, device="cpu")
    assert order == list(range(len(val)))


def test_results_go_to_a_bucket(backbone, scan_files):
    scans, uri = FileScans.of(scan_files), f"s3://{BUCKET}/features"
    with s3_server():
        assert write_features(backbone, scans, uri, device="cpu").num_written == 3
        assert write_features(backbone, scans, uri, device="cpu").num_kept == 3
        assert Store(uri).names() == {NOTE, *(f"{name}.npz" for name in scans.names())}


def test_a_folder_stands_for_its_scans(scan_files, tmp_path):
    folder = scan_files[0].parent
    assert set(FileScans.of([folder]).paths) >= {str(path) for path in scan_files}
    with pytest.raises(UserError, match="has no scans"):
        FileScans.of([tmp_path])
    with pytest.raises(UserError, match=r"There is no scan .*none\.bin"):
        FileScans.of([tmp_path / "none.bin"])
    with pytest.raises(UserError, match="No scan was given"):
        FileScans.of([])
    (tmp_path / "scan.ply").write_text("")
    with pytest.raises(UserError, match="is no scan that can be read"):
        FileScans.of([tmp_path / "scan.ply"])
    assert FileScans.of([scan_files[0], scan_files[0]]).paths == (str(scan_files[0]),)


def test_scans_and_results_may_be_in_the_home_folder(backbone, scan_files, tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()
    shutil.copy(scan_files[0], tmp_path / "scans")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(scan_files[0].parent)
    there = set(Path().iterdir())
    scans = FileScans.of(["~/scans"])
    assert FileScans.of([f"~/scans/{scan_files[0].name}"]).stamps() == scans.stamps()
    write_features(backbone, scans, "~/features", device="cpu")
    assert len(list((tmp_path / "features").glob("*.npz"))) == 1
    assert set(Path().iterdir()) == there  # none is called ~


def test_a_bad_scan_of_many_is_named(backbone, tmp_path):
    kitti = SmallKitti(tmp_path / "kitti", {"00": 2})
    broken = kitti.scan("00", 1)
    broken.write_bytes(np.full(40, np.nan, "<f4").tobytes())
    with pytest.raises(UserError, match=r"000001\.bin has 10 points of 10 that are not finite"):
        write_features(backbone, FileScans.of([broken.parent]), tmp_path / "out", device="cpu")
    far = kitti.scan("00", 0)
    far.write_bytes(np.full(40, 1e4, "<f4").tobytes())
    with pytest.raises(UserError, match=r"Scan 000000: .*none of its 10 points is in range_m"):
        write_features(backbone, FileScans.of([far]), tmp_path / "out", device="cpu")


def test_other_classes_than_the_heads_are_told(network, kitti_network, val, tmp_path):
    kitti = SmallKitti(tmp_path / "kitti", {"08": 1})
    dataset = SemanticKitti(split="val", allow_partial=True)
    frames = dataset.open(kitti.root, tmp_path / "cache")
    with pytest.raises(UserError, match=r"The head predicts 16 classes \(barrier.*has 19 \(car"):
        predict_split(network, dataset, frames, tmp_path / "out", device="cpu")
    scans = FileScans.of([kitti.scan("08", 0)])
    with pytest.raises(UserError, match="form=nuscenes writes the 16 classes barrier"):
        predict_files(kitti_network, scans, tmp_path / "out", form="nuscenes", device="cpu")
    with pytest.raises(UserError, match="form takes auto, nuscenes, semantic_kitti, npy"):
        predict_files(network, scans, tmp_path / "out", form="lidarseg", device="cpu")
    assert not (tmp_path / "out").exists()


def test_words_that_are_not_allowed_are_told(backbone, scan_files, tmp_path):
    scans = FileScans.of(scan_files)
    with pytest.raises(UserError, match=r"form takes npz, npy.*Did you mean 'npz'"):
        write_features(backbone, scans, tmp_path, form="npzz", device="cpu")
    with pytest.raises(UserError, match="dtype takes float32, float16"):
        write_features(backbone, scans, tmp_path, dtype="int8", device="cpu")


def test_a_whole_split_has_no_label_fraction(finished):
    config = finished.probe_config.train.override({"scene_step": 4})
    assert whole_split(config, {"split": "mini_val"}) == finished.probe_config.val
    kitti = SemanticKitti(frame_step=10)
    assert whole_split(kitti, {}).frame_step == 1
    with pytest.raises(UserError, match="split"):
        whole_split(config, {"split": "vall"})
    with pytest.raises(UserError, match="No setting 'splitt'"):
        whole_split(config, {"splitt": "val"})
