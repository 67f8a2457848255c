"""The scenes of a split, and those that a label fraction keeps."""

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

OFFICIAL = ("train", "val", "test", "mini_train", "mini_val")
ALL = "all"  # every scene of the tables, official or not
# SLidR tunes on 600 scenes of train and verifies on the other 100.
SPLITS = (*OFFICIAL, "parametrizing", "verifying", ALL)


@functools.cache
def scenes_of_split(split: str) -> frozenset[str]:
    """Return the scene names of any split but "all", whose scenes only the tables know."""
    if split == "parametrizing":
        return scenes_of_split("train") - scenes_of_split("verifying")
    numbers = json.loads((Path(__file__).parent / "splits.json").read_text())[split]
    return frozenset(f"scene-{number:04d}" for number in _numbers(numbers))


def scenes_in_split(scene_names: Sequence[str], split: str) -> list[int]:
    """Return the positions of a split's scenes among the tables' scenes, in table order."""
    if split == ALL:
        return list(range(len(scene_names)))
    wanted = scenes_of_split(split)
    return [position for position, name in enumerate(scene_names) if name in wanted]


def split_contains(split: str, other: str) -> bool:
    """Return whether every scene of another split is in this one, whatever the tables have."""
    if ALL in (split, other):
        return split == ALL
    return scenes_of_split(other) <= scenes_of_split(split)


def every_kth(positions: Sequence[int], step: int) -> list[int]:
    """Return the positions whose number in the split, counted from 1, is a multiple of `step`.

    These are SLidR's label fractions: steps 100, 20, 10, 4 and 1 keep 7, 35, 70, 175 and 700 of the
    700 scenes of train. The order is that of scene.json.
    """
    return list(positions[step - 1 :: step])


def _numbers(text: str) -> Iterable[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
