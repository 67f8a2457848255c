from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.regions import Regions, regions
from olivine.labels.labellers.slic import Slic
from tests.support.image_folder import FolderFrames

N = IGNORE
MAP = np.array(
    [
        [0, 0, 0, 1, 1],
        [0, 0, 1, 1, 0],
        [N, N, 1, 0, 0],
        [2, N, 0, 1, N],
    ],
    np.uint8,
)


def test_a_segment_is_a_connected_region_of_one_class_the_largest_first() -> None:
    expected = [
        [0, 0, 0, 1, 1],
        [0, 0, 1, 1, 2],
        [N, N, 1, 2, 2],
        [3, N, 4, 5, N],
    ]
    found = regions(MAP, 1, 255)

    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found == N, np.array(expected) == N)
    # Equal sizes may come in any order, so compare what belongs together.
    for number in range(6):
        assert len(np.unique(found[np.array(expected) == number])) == 1
    assert len(np.unique(found)) == 7
    sizes = np.bincount(found.ravel())[:6]
    assert (np.diff(sizes) <= 0).all()


def test_small_regions_and_those_beyond_the_limit_are_no_segments() -> None:
    assert set(np.unique(regions(MAP, 3, 255))) == {0, 1, 2, N}
    assert set(np.unique(regions(MAP, 1, 2))) == {0, 1, N}
    assert (regions(np.full((4, 5), N, np.uint8), 1, 255) == N).all()


def test_a_map_of_more_regions_than_ids_keeps_the_largest() -> None:
    board = (np.indices((40, 40)).sum(axis=0) % 2).astype(np.uint8)

    assert np.unique(regions(board, 1, 255)).size == 256


def test_the_regions_are_those_of_the_labeller_within(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    labeller = Regions(of=Embedded(), min_px=1)
    device, frames = torch.device("cpu"), FolderFrames(tmp_path)

    (found,) = labeller.build(device, frames)([image], ["a.jpg"])
    (classes,) = Embedded().build(device, frames)([image], ["a.jpg"])

    for number in np.setdiff1d(found, IGNORE):
        assert len(np.unique(classes[found == number])) == 1
    assert labeller.class_names == ()
    assert labeller.identity != Embedded().identity
    assert labeller.identity != Regions(of=Embedded()).identity


def test_segments_have_no_classes_to_find_regions_of() -> None:
    with pytest.raises(UserError, match="makes segments already"):
        Regions(of=Embedded()).override({"of": Slic()})
