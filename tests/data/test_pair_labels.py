"""Classes of pairs: looked up in the maps once, kept, and never another frame's."""

from dataclasses import replace

import numpy as np
import pytest

from olivine.core.array_cache import ArrayCache
from olivine.core.storage import Store
from olivine.data.geometry.projection import correspondences
from olivine.data.pair_labels import PairLabels
from olivine.labels.store import LabelStore
from tests.support.two_cameras import make_frame, read_labels


def pairs_of(frame):
    return correspondences(
        frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, frame.image_size_px
    )


@pytest.fixture
def asked():
    """The images whose maps were read."""
    return []


@pytest.fixture
def keeping(tmp_path, asked):
    def read(name, image):
        asked.append(name)
        return read_labels(name, image)

    return PairLabels(read, ArrayCache(Store(tmp_path), "pairs"))


def test_a_pairs_class_is_its_pixels_and_a_map_is_read_once(keeping, asked):
    frame = make_frame(0)
    pairs = pairs_of(frame)
    first, second = keeping(frame, pairs), keeping(frame, pairs)
    maps = [read_labels(name, image) for name, image in zip(
        frame.image_names, frame.images, strict=True
    )]  # fmt: skip
    expected = [maps[camera][row, column] for camera, row, column in pairs.pixel_index]
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, expected)
    assert asked == list(frame.image_names)
    assert first.dtype == np.uint8


def test_without_a_place_nothing_is_kept(asked, keeping):
    alone = PairLabels(keeping.read_labels)
    frame = make_frame(0)
    for _ in range(2):
        alone(frame, pairs_of(frame))
    assert asked == 2 * list(frame.image_names)


def test_other_frames_cameras_and_calibrations_are_looked_up(keeping, asked):
    frame = make_frame(0)
    keeping(frame, pairs_of(frame))
    turned = replace(
        frame,
        images=frame.images[::-1],
        image_names=frame.image_names[::-1],
        cam_SE3_lidar=frame.cam_SE3_lidar[::-1],
    )
    fewer = replace(
        frame,
        xyz_m=frame.xyz_m[:300],
        intensity=frame.intensity[:300],
        class_ids=frame.class_ids[:300],
    )
    for other in (make_frame(1), turned, fewer):
        asked.clear()
        pairs = pairs_of(other)
        found = keeping(other, pairs)
        assert asked == list(other.image_names)
        np.testing.assert_array_equal(found, PairLabels(read_labels)(other, pairs))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an archive", None])
def test_a_damaged_file_is_made_again(keeping, asked, tmp_path, content):
    frame = make_frame(0)
    pairs = pairs_of(frame)
    expected = keeping(frame, pairs)
    (path,) = tmp_path.glob("pairs/*.npz")
    path.write_bytes(path.read_bytes()[:40] if content is None else content)
    asked.clear()
    np.testing.assert_array_equal(keeping(frame, pairs), expected)
    assert asked == list(frame.image_names)
    asked.clear()
    keeping(frame, pairs)
    assert asked == []


def test_removing_the_labels_removes_what_was_kept_of_them(tmp_path):
    store = LabelStore(tmp_path, "data", "labeller")
    assert str(store.path) in store.pair_label_cache().store.path(store.pair_label_cache().folder)
