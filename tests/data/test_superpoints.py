"""Superpoints are made once, kept whole, and tell what they lack."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.clusterings.hdbscan import Hdbscan
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.geometry.rigid import inverse, transform
from olivine.data.superpoints import Superpoints


@pytest.fixture(scope="module")
def superpoints(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Superpoints:
    out = tmp_path_factory.mktemp("out")
    frames = Nuscenes(version="v1.0-mini", split="mini_train").open(tiny_world, out / "cache")
    return Superpoints(frames, Hdbscan(), Store(out))


def test_a_thing_lies_at_one_place_in_both_scans(superpoints: Superpoints) -> None:
    frame = superpoints.frames.frame(0, images=False)
    here, later, there = superpoints.of(0, frame)

    assert (len(here), len(there)) == (len(frame.xyz_m), len(later.xyz_m))
    assert later.scene == frame.scene
    assert later.time_ns > frame.time_ns
    lidar_SE3_later = inverse(frame.global_SE3_lidar) @ later.global_SE3_lidar
    moved = transform(lidar_SE3_later, later.xyz_m)
    shared = np.setdiff1d(np.intersect1d(here, there), -1)
    assert len(shared) > 3
    apart_m = [
        np.linalg.norm(np.median(frame.xyz_m[here == i], 0) - np.median(moved[there == i], 0))
        for i in shared
    ]
    assert np.median(apart_m) < 1.0


def test_what_was_made_is_read_again(superpoints: Superpoints, monkeypatch) -> None:
    frame = superpoints.frames.frame(2, images=False)
    here, _, there = superpoints.of(2, frame)

    def refuse(*_: object) -> None:
        raise AssertionError("clustered twice")

    monkeypatch.setattr(Hdbscan, "__call__", refuse)
    again, _, there_again = superpoints.of(2, frame)

    np.testing.assert_array_equal(here, again)
    np.testing.assert_array_equal(there, there_again)


def test_a_damaged_file_is_made_again(superpoints: Superpoints) -> None:
    frame = superpoints.frames.frame(4, images=False)
    here, _, _ = superpoints.of(4, frame)
    name = f"{superpoints.folder}/{frame.token}.npz"
    for damage in (b"", b"no zip", superpoints.store.read(name)[:-40]):
        superpoints.store.write(name, damage)
        np.testing.assert_array_equal(superpoints.of(4, frame)[0], here)


def test_another_clustering_has_another_folder(superpoints: Superpoints) -> None:
    assert replace(superpoints, clustering=Hdbscan(min_cells=5)).folder != superpoints.folder


def test_the_last_keyframe_of_a_scene_looks_back(superpoints: Superpoints) -> None:
    frames = superpoints.frames
    scenes = frames.scenes()
    for index, scene in enumerate(scenes):
        later = frames.later(index, 1)
        assert scenes[later] == scene
        ends = index + 1 == len(scenes) or scenes[index + 1] != scene
        assert later == index + (-1 if ends else 1)
        assert frames.later(index, 0) == index


def test_a_scene_that_is_too_short_is_told(superpoints: Superpoints) -> None:
    with pytest.raises(UserError, match=r"has 2 keyframes.*none lies 2 from number 1"):
        superpoints.frames.later(0, 2)


def test_a_frame_without_a_pose_is_told(superpoints: Superpoints) -> None:
    far = replace(superpoints, clustering=Hdbscan(min_cells=11))
    frame = replace(superpoints.frames.frame(0, images=False), global_SE3_lidar=None)

    with pytest.raises(UserError, match="has no pose"):
        far.of(0, frame)
