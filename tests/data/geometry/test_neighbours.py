import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.geometry import neighbours
from olivine.data.geometry.neighbours import nearest_rows


def points(count, seed=0):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))


def test_each_point_gets_the_nearest_of_its_own_frame():
    xyz_m = points(60)
    frame = torch.arange(60) % 2
    found = nearest_rows(xyz_m, frame, 4)
    for row in range(60):
        others = [o for o in range(60) if frame[o] == frame[row] and o != row]
        others.sort(key=lambda o, row=row: float((xyz_m[o] - xyz_m[row]).norm()))
        assert found[row].tolist() == others[:4]


def test_comparing_all_with_all_finds_what_the_tree_finds(monkeypatch):
    xyz_m, count = points(300), 5
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", 7 * len(xyz_m))
    by_distance = neighbours._by_distance(xyz_m, count)
    assert torch.equal(by_distance, neighbours._by_tree(xyz_m, count))
    frame = torch.zeros(len(xyz_m), dtype=torch.long)
    assert torch.equal(nearest_rows(xyz_m, frame, count), by_distance)


def test_a_frame_with_too_few_points_is_named():
    frame = torch.tensor([0] * 9 + [1] * 3)
    with pytest.raises(UserError, match=r"Frame 1 of the batch has 3 voxels .* num_neighbours=3"):
        nearest_rows(points(12), frame, 3)
