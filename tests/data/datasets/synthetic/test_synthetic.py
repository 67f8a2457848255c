"""The part that opens a world through the nuScenes reader."""

from pathlib import Path

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES
from olivine.data.datasets.synthetic import Synthetic
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import read_truth

TINY = WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120)


def test_its_settings_survive_a_round_trip() -> None:
    part = Synthetic(world=TINY)
    assert Synthetic.from_dict(part.to_dict()) == part


def test_it_reads_what_was_written(tiny_world: Path, tmp_path: Path) -> None:
    train = Synthetic(world=TINY).open(tiny_world, tmp_path)
    val = Synthetic(world=TINY, split="mini_val").open(tiny_world, tmp_path)
    assert (len(train), len(val)) == (16, 4)
    assert tuple(train.class_names) == CLASS_NAMES
    frame = val.frame(1)
    assert frame.xyz_m.shape == (32 * 120, 3)
    assert len(frame.images) == 6
    for name, image in zip(frame.image_names, frame.images, strict=True):
        assert read_truth(tiny_world, name).shape == image.pixels().shape[:2] == (90, 160)


def test_both_splits_hold_all_classes(tiny_world: Path, tmp_path: Path) -> None:
    for split in ("mini_train", "mini_val"):
        frames = Synthetic(world=TINY, split=split).open(tiny_world, tmp_path)
        found: set[int] = set()
        for index in range(len(frames)):
            class_ids = frames.frame(index, images=False).class_ids
            assert class_ids is not None
            found |= set(np.unique(class_ids).tolist())
        assert found == {*range(16), 255}


def test_another_world_is_refused_with_the_command_that_makes_it(
    tiny_world: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="olivine data synth"):
        Synthetic(world=TINY.override({"seed": 3})).open(tiny_world, tmp_path)
    with pytest.raises(UserError, match=r"--set seed=3"):
        Synthetic(world=WorldConfig(seed=3)).open(tmp_path / "nowhere", tmp_path)
