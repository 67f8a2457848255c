"""Features and classes by the library are those of the evaluation, to the last bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.dataset import Frames
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.loader import validation_batches
from olivine.data.samples import Samples
from olivine.data.schedule import one_pass
from olivine.experiments.recipes import demo_random
from olivine.inference import (
    PointClassifier,
    PointEncoder,
    PretrainedBackbone,
    load_backbone,
    load_segmenter,
)
from olivine.training.pretrained_networks import build_model
from olivine.training.pretrained_weights import save_weights
from olivine.training.scene_counts import SceneCounts
from olivine.training.segmentation import scene_confusion
from olivine.training.validation import CloudReader, confusions_name
from tests.support.run_stores.finished_runs import SMALL, Finished


def by_evaluation(backbone: PretrainedBackbone, frames: Frames, batch: int) -> list[np.ndarray]:
    """Return the features of every frame's points by the way that an evaluation takes."""
    places = one_pass(len(frames), batch)
    samples = Samples(CloudReader(frames), [], seed=0)
    features = []
    with torch.no_grad():
        for one, indices in zip(
            validation_batches(samples, places, backbone.config.voxels, 0), places, strict=True
        ):
            rows = backbone.network(one.voxels)[one.voxels.voxel_of_point]
            sizes = [len(frames.frame(index, images=False).xyz_m) for _, index in indices]
            features += [part.numpy() for part in rows.split(sizes)]
    return features


@pytest.fixture(scope="module")
def val(finished: Finished) -> Frames:
    runtime = finished.runtime
    return finished.probe_config.val.open(runtime.data_path(), runtime.cache_path())


@pytest.fixture(scope="module")
def backbone(finished: Finished) -> PretrainedBackbone:
    return load_backbone(finished.pretrained(), out=finished.out)


def test_features_of_a_real_keyframe_are_those_of_the_evaluation(shared_data, tmp_path):
    root = shared_data / "nuscenes_val_fd842039"
    config = demo_random().pretrained
    weights = build_model(config, 1).backbone.state_dict()
    save_weights(Store(tmp_path), "pretrained/0123/backbone.pt", weights, config)
    (scan_file,) = root.glob("samples/LIDAR_TOP/*.pcd.bin")

    # What a person writes.
    encoder = PointEncoder(load_backbone(tmp_path / "pretrained/0123/backbone.pt"), device="cpu")
    scan = np.fromfile(scan_file, np.float32).reshape(-1, 5)
    features = encoder(scan)

    assert (features.shape, features.dtype) == ((len(scan), 32), np.float32)
    frames = Nuscenes(split="all").open(root, tmp_path / "cache")
    backbone = load_backbone(tmp_path / "pretrained/0123/backbone.pt")
    (expected,) = by_evaluation(backbone, frames, 1)
    np.testing.assert_array_equal(features, expected)
    assert np.ptp(features, axis=0).max() > 0


@pytest.mark.parametrize("batch", [1, 3])
def test_features_of_a_batch_are_those_of_the_evaluations_batch(backbone, val, batch):
    expected = by_evaluation(backbone, val, batch)
    frames = [val.frame(index, images=False) for index in range(len(val))]
    encoder = PointEncoder(backbone, device="cpu")
    features = []
    for begin in range(0, len(frames), batch):
        some = frames[begin : begin + batch]
        features += encoder.encode([f.xyz_m for f in some], [f.intensity for f in some])
    for mine, theirs in zip(features, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_points_outside_the_voxels_range_take_the_nearest_or_have_none(backbone, val):
    frame = val.frame(0, images=False)
    outside = ~backbone.config.voxels.inside(frame.xyz_m)
    assert 0 < outside.sum() < len(outside)
    nearest = PointEncoder(backbone, "cpu")(frame.xyz_m, frame.intensity)
    none = PointEncoder(backbone, "cpu", outside="nan")(frame.xyz_m, frame.intensity)
    assert np.isfinite(nearest).all()
    assert np.isnan(none[outside]).all()
    np.testing.assert_array_equal(nearest[~outside], none[~outside])


def test_one_array_is_the_same_scan_as_positions_and_intensity(backbone, val):
    frame = val.frame(0, images=False)
    encoder = PointEncoder(backbone, device="cpu")
    apart = encoder(frame.xyz_m, frame.intensity)
    together = np.concatenate([frame.xyz_m, frame.intensity[:, None]], axis=1)
    np.testing.assert_array_equal(encoder(together), apart)
    ring = np.zeros((len(together), 1))
    np.testing.assert_array_equal(encoder(np.hstack([together, ring]).astype(np.float64)), apart)
    np.testing.assert_array_equal(encoder(together.tolist()), apart)
    np.testing.assert_array_equal(encoder(torch.from_numpy(together)), apart)


def test_features_follow_their_points(backbone, val):
    """Of one voxel the first point's intensity counts, so the scan has one point a voxel."""
    frame = val.frame(0, images=False)
    cells = np.floor(frame.xyz_m / 0.3)
    _, first = np.unique(cells, axis=0, return_index=True)
    xyz_m, intensity = frame.xyz_m[first], frame.intensity[first]
    order = np.random.default_rng(0).permutation(len(first))
    encoder = PointEncoder(backbone, device="cpu")
    inside = backbone.config.voxels.inside(xyz_m)
    moved = encoder(xyz_m[order], intensity[order])[inside[order]]
    np.testing.assert_array_equal(moved, encoder(xyz_m, intensity)[order][inside[order]])


@pytest.mark.parametrize("protocol", ["probe", "finetuned"])
def test_classes_are_those_that_the_evaluation_scored(finished, val, protocol):
    result = getattr(finished, protocol)
    classifier = PointClassifier(load_segmenter(result.key.fingerprint, out=finished.out), "cpu")
    assert classifier.class_names == val.class_names
    store, num_classes = Store(finished.out), len(val.class_names)
    scored = SceneCounts.read(store, confusions_name(result.key.fingerprint))
    counts = torch.zeros(len(scored.scenes), num_classes, num_classes, dtype=torch.long)
    for places in one_pass(len(val), finished.probe_config.batch_frames):
        frames = [val.frame(index, images=False) for _, index in places]
        predicted = classifier.classify([f.xyz_m for f in frames], [f.intensity for f in frames])
        for frame, class_ids in zip(frames, predicted, strict=True):
            scene = torch.full((len(class_ids),), scored.scenes.index(frame.scene))
            truth = torch.from_numpy(frame.class_ids).long()
            ids = torch.from_numpy(class_ids).long()
            counts += scene_confusion(truth, ids, scene, len(scored.scenes), num_classes)
    np.testing.assert_array_equal(counts.numpy(), scored.counts)


def test_a_network_stays_where_it_is_when_two_use_it(backbone, val):
    frame = val.frame(0, images=False)
    before = PointEncoder(backbone, "cpu")
    features = before(frame.xyz_m, frame.intensity)
    PointEncoder(backbone, "auto")
    np.testing.assert_array_equal(before(frame.xyz_m, frame.intensity), features)
    assert next(backbone.network.parameters()).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_features_and_classes_are_nearly_the_same(finished, backbone, val):
    frame = val.frame(0, images=False)
    on_cpu, on_gpu = PointEncoder(backbone, "cpu"), PointEncoder(backbone, "cuda")
    mine = on_gpu(frame.xyz_m, frame.intensity)
    np.testing.assert_allclose(mine, on_cpu(frame.xyz_m, frame.intensity), rtol=1e-3, atol=1e-4)
    network = load_segmenter(finished.probe.key.fingerprint, out=finished.out)
    there = PointClassifier(network, "cuda")(frame.xyz_m, frame.intensity)
    here = PointClassifier(network, "cpu")(frame.xyz_m, frame.intensity)
    assert (there == here).mean() > 0.999


POINTS = np.zeros((5, 4), np.float32)
BAD = {
    "3 columns: give x, y, z in metres and intensity": (POINTS[:, :3], None),
    r"has the shape \(5,\)": (POINTS[:, 0], None),
    r"positions of shape \(5, 3\) and intensities of shape \(4,\)": (POINTS[:, :3], POINTS[:4, 3]),
    r"positions of shape \(5, 4\)": (POINTS, POINTS[:, 3]),
    "The scan has no points": (POINTS[:0], None),
    "2 points of 5 that are not finite": (np.where(np.eye(5, 4) * [1, 0, 0, 1], np.nan, 1), None),
    "no array of numbers": ([["a", "b", "c", "d"]], None),
    "none of its 5 points is in range_m": (POINTS + 1000, None),
}


@pytest.mark.parametrize("said", BAD)
def test_a_scan_that_cannot_be_used_is_told_in_a_sentence(backbone, said):
    with pytest.raises(UserError, match=said):
        PointEncoder(backbone, "cpu")(*BAD[said])


def test_a_bad_scan_of_several_is_named_by_its_number(backbone):
    good = np.ones((5, 4), np.float32)
    with pytest.raises(UserError, match=r"Scan 1 has 3 columns|scan 1 has 3 columns"):
        PointEncoder(backbone, "cpu").encode([good, good[:, :3]])
    with pytest.raises(UserError, match="1 scans and 2 arrays"):
        PointEncoder(backbone, "cpu").encode([good[:, :3]], [good[:, 3], good[:, 3]])
    with pytest.raises(UserError, match="No scan was given"):
        PointEncoder(backbone, "cpu").encode([])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there_and_words_that_are_no_device_are_told(backbone):
    with pytest.raises(UserError, match=r"torch sees no GPU here.*device=cpu"):
        PointEncoder(backbone, "cuda")
    with pytest.raises(UserError, match="A device is auto, cpu, cuda"):
        PointEncoder(backbone, "gpu")
    with pytest.raises(UserError, match="'nearest' or 'nan'"):
        PointEncoder(backbone, "cpu", outside="zero")


def test_the_lines_of_the_documentation_give_features(finished: Finished, tiny_world: Path):
    """At most six lines, in a process of their own."""
    scan = next(tiny_world.glob("samples/LIDAR_TOP/*.bin"))
    run, out = finished.pretrained(), str(finished.out)
    lines = f"""
import numpy as np
import olivine
scan = np.fromfile({str(scan)!r}, np.float32).reshape(-1, 5)
encoder = olivine.PointEncoder(olivine.load_backbone({run!r}, out={out!r}))
print(encoder(scan).shape == (len(scan), {SMALL["pretrained.backbone.planes"][-1]}))
"""
    answer = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=False
    )
    assert answer.stdout == "True\n", answer.stderr
