"""Scans of a split, its labels and its label fractions."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.datasets.semantic_kitti.classes import CLASS_NAMES, FINE_CLASSES
from olivine.data.datasets.semantic_kitti.frames import SemanticKittiFrames
from olivine.data.datasets.semantic_kitti.layout import NUM_SCANS, SEQUENCES
from olivine.data.identity.split import identity_of
from olivine.data.records import IGNORE
from tests.support.servers.bucket_server import BUCKET, copy_to_bucket, s3_server

PART = SemanticKitti(allow_partial=True)


def opened(data, **changes):
    return PART.model_copy(update=changes).open(data.root, data.root)


def whole(split: str, step: int) -> SemanticKittiFrames:
    """The split's scans as they would be, none of which is read."""
    sequences = tuple((name, NUM_SCANS[name]) for name in SEQUENCES[split])
    return SemanticKittiFrames("nowhere", sequences, step, 1.0, 1.0, True, "0")


@pytest.mark.parametrize(
    ("step", "number"), [(100, 192), (20, 957), (10, 1913), (5, 3826), (1, 19_130)]
)
def test_a_label_fraction_keeps_every_kth_scan_of_all_paths_in_order(step: int, number: int):
    paths = sorted(
        f"/data/sequences/{name}/velodyne/{scan:06d}.bin"
        for name in SEQUENCES["train"]
        for scan in range(NUM_SCANS[name])
    )[::step]
    frames = whole("train", step)
    assert len(frames) == len(paths) == number
    expected = [path.removesuffix(".bin").split("/") for path in paths]
    assert frames.tokens() == [f"{parts[3]}-{parts[5]}" for parts in expected]


def test_a_scene_is_twenty_seconds_of_a_sequence():
    scenes = whole("val", 1).scenes()
    names, counts = np.unique(scenes, return_counts=True)
    assert len(names) == 21  # enough to draw error bars from
    assert set(counts) == {200, 71}
    assert scenes[199:201] == ["08-000000", "08-000200"]


@given(
    numbers=st.lists(st.integers(1, 450), min_size=1, max_size=4),
    step=st.integers(9, 130),
    ahead=st.integers(0, 3),
)
@settings(deadline=None, max_examples=50)
def test_a_later_scan_is_of_the_same_scene(numbers: list[int], step: int, ahead: int):
    sequences = tuple((f"{name:02d}", number) for name, number in enumerate(numbers))
    frames = SemanticKittiFrames("nowhere", sequences, step, 1.0, 1.0, True, "0")
    scenes = frames.scenes()
    assert len(frames) == -(-sum(numbers) // step)
    lengths = Counter(scenes)
    for index, scene in enumerate(scenes):
        if lengths[scene] > 2 * ahead:
            later = frames.later(index, ahead)
            assert scenes[later] == scene
            assert abs(later - index) == ahead
        elif lengths[scene] <= ahead:
            with pytest.raises(UserError, match=f"Scene {scene} of nowhere"):
                frames.later(index, ahead)


def test_a_frame_holds_what_its_files_hold(kitti):
    data = kitti(s00=2, s01=1, s04=3)
    frames = opened(data)
    assert isinstance(frames, Frames)
    assert frames.tokens() == ["00-000000", "00-000001", "01-000000"] + [
        f"04-{k:06d}" for k in range(3)
    ]
    for index, token in enumerate(frames.tokens()):
        sequence, number = token.split("-")
        frame = frames.frame(index)
        assert (frame.token, frame.scene) == (token, f"{sequence}-000000")
        scan = np.fromfile(data.scan(sequence, int(number)), "<f4").reshape(-1, 4)
        np.testing.assert_array_equal(frame.xyz_m, scan[:, :3])
        np.testing.assert_allclose(frame.intensity, scan[:, 3] + 1)
        raw = np.fromfile(data.labels(sequence, int(number)), "<u4")
        names = [FINE_CLASSES[fine][1] for fine in (raw & 0xFFFF).tolist()]
        expected = [IGNORE if name is None else CLASS_NAMES.index(name) for name in names]
        assert frame.class_ids.tolist() == expected
    assert (frame.images, frame.image_names, frames.image_names()) == ((), (), ())
    assert (raw > 0xFFFF).any(), "the upper half holds instances"
    assert frames.class_names == CLASS_NAMES


def test_intensity_is_a_choice_that_makes_another_experiment(kitti):
    data = kitti(s00=1)
    like_nuscenes = {"intensity_scale": 255.0, "intensity_offset": 0.0}
    plain, scaled = opened(data).frame(0), opened(data, **like_nuscenes).frame(0)
    np.testing.assert_allclose(scaled.intensity, 255 * (plain.intensity - 1), atol=1e-4)
    assert PART.override(like_nuscenes).fingerprint() != PART.fingerprint()


def test_what_is_not_asked_for_is_not_read(kitti):
    data = kitti(s00=1)
    frames = opened(data)
    data.labels("00", 0).unlink()
    assert frames.frame(0, classes=False).class_ids is None
    with pytest.raises(UserError, match=r"labels/000000\.label: No such file"):
        frames.frame(0)


def test_the_test_split_has_no_labels(kitti):
    data = kitti(s11=1)
    data.labels("11", 0).unlink()
    assert opened(data, split="test").frame(0).class_ids is None


def test_the_identity_is_of_names_and_sizes_wherever_they_lie(kitti, tmp_path):
    data = kitti(s00=2, s01=1)
    first = opened(data)
    assert opened(data, frame_step=2).fingerprint == first.fingerprint
    assert identity_of(opened(data, frame_step=2)).part("scans") != identity_of(first).part("scans")
    moved = tmp_path / "elsewhere"
    identity_of(first).of("scans", "point_labels")
    data.root.rename(moved)
    again = PART.open(moved, moved)
    assert again.fingerprint == first.fingerprint
    parts = ("scans", "point_labels")
    assert identity_of(again).values(*parts) == identity_of(first).values(*parts)
    (moved / "sequences/01/velodyne/000000.bin").write_bytes(bytes(16 * 9))
    (moved / "sequences/01/labels/000000.label").write_bytes(bytes(4 * 9))
    changed = identity_of(PART.open(moved, moved))
    assert changed.tables == again.fingerprint
    for part in parts:
        assert changed.part(part) != identity_of(first).part(part)


def test_a_root_of_its_own_goes_before_the_runtimes_and_is_in_no_fingerprint(kitti, tmp_path):
    data = kitti(s00=1)
    own = PART.override({"root": str(data.root)})
    assert own.open(tmp_path / "nuscenes", tmp_path).root == data.root
    assert own.fingerprint() == PART.fingerprint()
    assert SemanticKitti.from_dict(own.to_dict()) == own


def test_a_root_is_absolute_where_it_is_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = SemanticKitti(root="kitti")
    monkeypatch.chdir("/")
    assert dataset.root == str(tmp_path / "kitti")
    assert SemanticKitti(root="s3://lab/kitti").root == "s3://lab/kitti"


def test_a_part_of_the_data_set_must_be_asked_for(kitti):
    data = kitti(s00=2, s09=1)
    with pytest.raises(UserError, match=r"lacks 01, 02, .*it has 00, 09.*allow_partial"):
        opened(data, allow_partial=False)
    assert len(opened(data)) == 3
    with pytest.raises(UserError, match=r"lacks 08 of split 'val'; it has 00, 09"):
        opened(data, split="val")


def test_a_sequence_that_was_cut_is_told_unless_it_may_be(kitti):
    data = kitti(s08=2)
    with pytest.raises(UserError, match=r"08/velodyne: it has 2 scans of 4071.*allow_partial"):
        opened(data, split="val", allow_partial=False)
    assert len(opened(data, split="val")) == 2


def test_a_root_without_sequences_says_how_to_set_it(tmp_path):
    with pytest.raises(UserError, match=r"No SemanticKITTI at .*train\.root=PATH"):
        PART.open(tmp_path, tmp_path)


def cut_scan(data):
    data.scan("00", 1).write_bytes(data.scan("00", 1).read_bytes()[:-2])


def empty_scan(data):
    data.scan("00", 1).write_bytes(b"")


def lose_scan(data):
    data.scan("00", 1).unlink()


def cut_labels(data):
    data.labels("00", 1).write_bytes(data.labels("00", 1).read_bytes()[:-4])


def lose_labels(data):
    data.labels("00", 1).unlink()


FAULTS = {
    cut_scan: r"velodyne/000001\.bin: 958 bytes is not a number of points of 16 bytes",
    empty_scan: r"velodyne/000001\.bin: 0 bytes is not",
    lose_scan: r"velodyne/000001\.bin: it is not there, and .*000002\.bin is",
    cut_labels: r"labels/000001\.label: 59 labels for 60 points",
    lose_labels: r"labels/000001\.label: .*000001\.bin has no labels",
}


@pytest.mark.parametrize("break_it", FAULTS)
def test_a_broken_file_is_told_before_anything_is_read(kitti, break_it):
    data = kitti(s00=3)
    frames = opened(data)
    break_it(data)
    with pytest.raises(UserError, match=FAULTS[break_it]) as told:
        opened(data)
    assert "\n" not in str(told.value)
    assert "olivine data check" in str(told.value)
    with pytest.raises(UserError, match="000001"):  # broken after it was opened
        frames.frame(1)


def test_an_unknown_class_is_named(kitti):
    data = kitti(s00=1)
    labels = np.fromfile(data.labels("00", 0), "<u4")
    labels[7] = 7 << 16 | 77
    data.labels("00", 0).write_bytes(labels.tobytes())
    with pytest.raises(UserError, match=r"000000\.label has the class 77, which SemanticKITTI"):
        opened(data).frame(0)


def test_a_name_that_is_no_image_is_refused(kitti):
    with pytest.raises(UserError, match="SemanticKITTI has none"):
        opened(kitti(s00=1)).read_image("image_2/000000.png")


def test_a_pickled_copy_is_small_and_reads_the_same(kitti):
    frames = opened(kitti(s00=40), frame_step=3)
    frames.frame(2)
    text = pickle.dumps(frames)
    assert len(text) < 1500
    copy = pickle.loads(text)
    assert copy.tokens() == frames.tokens()
    np.testing.assert_array_equal(copy.frame(9).xyz_m, frames.frame(9).xyz_m)


def test_links_are_followed(kitti, tmp_path):
    data = kitti(s00=2)
    linked = tmp_path / "linked" / "sequences"
    linked.mkdir(parents=True)
    (linked / "00").symlink_to(data.root / "sequences" / "00")
    assert opened(data).fingerprint == PART.open(linked.parent, tmp_path).fingerprint


def test_frames_of_a_bucket_are_those_of_the_disk(kitti):
    data = kitti(s00=2, s01=1)
    with s3_server():
        copy_to_bucket(data.root, f"s3://{BUCKET}/kitti")
        local, remote = opened(data), PART.open(f"s3://{BUCKET}/kitti", Path("unused"))
        assert (remote.fingerprint, remote.tokens()) == (local.fingerprint, local.tokens())
        np.testing.assert_array_equal(remote.frame(2).xyz_m, local.frame(2).xyz_m)
        np.testing.assert_array_equal(remote.frame(2).class_ids, local.frame(2).class_ids)


@pytest.mark.parametrize(
    ("given_settings", "words"),
    [({"split": "valid"}, "'val'"), ({"frame_step": 0}, "frame_step"), ({"step": 2}, "'step'")],
)
def test_settings_that_do_not_exist_are_refused(given_settings, words):
    with pytest.raises(UserError, match=words):
        SemanticKitti.from_dict(given_settings)


def test_real_scans_are_read(shared_data):
    root = shared_data / "semantickitti"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    frames = PART.open(root, root)
    assert frames.tokens() == ["00-000000", "00-000001"]
    first, second = (frames.frame(index) for index in range(2))
    assert (len(first.xyz_m), len(second.xyz_m)) == (124_668, 124_605)
    assert 1 <= first.intensity.min() < first.intensity.max() <= 2
    labelled = first.class_ids != IGNORE
    assert 0.95 < labelled.mean() < 0.97
    road = first.class_ids == CLASS_NAMES.index("road")
    assert -1.9 < np.median(first.xyz_m[road, 2]) < -1.7  # the sensor's height on the car
