"""The world as a data set: whole or not there, the same however it is made, and refusals."""

import filecmp
import json
import os
from pathlib import Path

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import read_truth, write_world
from olivine.data.datasets.synthetic.world.casting import grow_scene

SMALL = WorldConfig(num_scenes=2, keyframes_per_scene=1, image_width_px=64, num_firings=40)


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(SMALL, tmp_path_factory.mktemp("small") / "world", num_processes=1)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_one_and_two_processes_write_equal_bytes(small_world: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    other = write_world(SMALL, tmp_path / "world", 2, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
    names = files_below(small_world)
    assert names == files_below(other)
    same, different, unread = filecmp.cmpfiles(small_world, other, names, shallow=False)
    assert not different
    assert not unread
    assert len(same) == len(names) > 40


def test_another_seed_is_another_street() -> None:
    first, again, other = (
        grow_scene(SMALL.override({"seed": seed}), "scene-0061") for seed in (0, 0, 1)
    )
    assert np.array_equal(first.street.kinds, again.street.kinds)
    assert first.ego == again.ego != other.ego
    assert not np.array_equal(first.street.kinds, other.street.kinds)


def test_a_complete_world_is_left_as_it_is(small_world: Path) -> None:
    before = {name: os.stat(small_world / name).st_mtime_ns for name in files_below(small_world)}
    assert write_world(SMALL, small_world) == small_world
    assert before == {n: os.stat(small_world / n).st_mtime_ns for n in files_below(small_world)}


def test_a_folder_with_anything_else_is_refused(small_world: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(UserError, match="not empty"):
        write_world(SMALL, tmp_path)
    with pytest.raises(UserError, match="not empty"):
        write_world(SMALL.override({"seed": 5}), small_world)
    assert files_below(tmp_path) == ["letter.txt"]


def test_failing_half_way_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(SMALL, tmp_path / "world", num_processes=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_the_configured_ones(small_world: Path) -> None:
    rows = json.loads((small_world / "v1.0-mini/sample_data.json").read_text())
    for row in rows:
        size = (row["height"], row["width"])
        assert size == ((36, 64) if row["fileformat"] == "jpg" else (0, 0))
        if row["fileformat"] == "jpg":
            assert read_truth(small_world, row["filename"]).shape == size
        else:
            assert (small_world / row["filename"]).stat().st_size == 32 * 40 * 5 * 4


def test_truth_of_an_unknown_image_is_refused(small_world: Path) -> None:
    with pytest.raises(UserError, match="No pixel truth"):
        read_truth(small_world, "samples/CAM_FRONT/nothing.jpg")


@pytest.mark.parametrize(
    "settings",
    [{"num_scenes": 11}, {"image_width_px": 100}, {"num_firings": 5}, {"keyframes_per_scene": 0}],
)
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        WorldConfig().override(settings)


def test_scene_names_are_official_and_both_splits_are_early() -> None:
    assert WorldConfig(num_scenes=2).scene_names == ("scene-0061", "scene-0103")
    assert len(WorldConfig().scene_names) == 10
    assert np.all(np.diff([int(name[-4:]) for name in WorldConfig().scene_names]) > 0)
