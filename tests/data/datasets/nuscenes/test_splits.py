import json

import pytest

from olivine.data.datasets.nuscenes.splits import (
    OFFICIAL,
    SPLITS,
    every_kth,
    scenes_in_split,
    scenes_of_split,
)

SIZES = {
    "train": 700,
    "val": 150,
    "test": 150,
    "mini_train": 8,
    "mini_val": 2,
    "parametrizing": 600,
    "verifying": 100,
}


@pytest.mark.parametrize(("split", "size"), SIZES.items())
def test_sizes_are_the_published_ones(split, size):
    assert len(scenes_of_split(split)) == size


def test_official_splits_do_not_overlap_and_slidrs_divide_train():
    train, val, test = (scenes_of_split(split) for split in ("train", "val", "test"))
    assert not train & val
    assert not (train | val) & test
    assert scenes_of_split("parametrizing") | scenes_of_split("verifying") == train
    assert not scenes_of_split("parametrizing") & scenes_of_split("verifying")
    assert scenes_of_split("mini_train") | scenes_of_split("mini_val") <= train | val


def test_official_splits_are_nuscenes_devkits():
    devkit = pytest.importorskip("nuscenes.utils.splits").create_splits_scenes()
    for split in OFFICIAL:
        assert scenes_of_split(split) == set(devkit[split])


def test_slidrs_splits_are_those_of_its_code(shared_data):
    lists = json.loads((shared_data / "splits_and_manifests/nuscenes_splits.json").read_text())
    for split in ("parametrizing", "verifying"):
        assert scenes_of_split(split) == set(lists[f"slidr_{split}"])


def slidr(names, split, step):
    """SLidR's loop, word for word."""
    kept, counter = [], 0
    for position, name in enumerate(names):
        if name in scenes_of_split(split):
            counter += 1
            if counter % step == 0:
                kept.append(position)
    return kept


@pytest.mark.parametrize(("step", "size"), [(100, 7), (20, 35), (10, 70), (4, 175), (1, 700)])
def test_label_fractions_keep_every_kth_scene_of_train(step, size):
    names = sorted(scenes_of_split("train") | scenes_of_split("val"), key=lambda name: name[::-1])
    kept = every_kth(scenes_in_split(names, "train"), step)
    assert len(kept) == size
    assert kept == slidr(names, "train", step)


def test_all_is_every_scene_of_the_tables_by_any_name():
    assert scenes_in_split(["scene-0001", "my street"], "all") == [0, 1]
    assert "all" in SPLITS
