"""Superpoints: things stand apart, keep their id over time, and the ground is none."""

from pathlib import Path

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.data.clusterings.base import Clustering
from olivine.data.clusterings.hdbscan import Hdbscan, height_above_ground

GENERATOR = np.random.default_rng(0)


def block(x_m: float, y_m: float, slope: float = 0.0) -> np.ndarray:
    """Return a thing of a metre that stands on the ground."""
    centre = np.array([x_m, y_m, -0.8 + slope * x_m])
    return (centre + GENERATOR.uniform(-0.5, 0.5, (400, 3))).astype(np.float32)


def ground(slope: float = 0.0) -> np.ndarray:
    xy = GENERATOR.uniform(-30, 30, (4000, 2))
    z = -1.8 + slope * xy[:, 0] + GENERATOR.normal(0, 0.03, 4000)
    return np.column_stack([xy, z]).astype(np.float32)


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_things_on_a_plane_keep_their_id_from_scan_to_scan(slope: float) -> None:
    places = [(8, 0), (0, 9), (-12, 5), (15, -15)]
    blocks = [block(x, y, slope) for x, y in places]
    later = [block(x + 0.3, y, slope) for x, y in places]
    first, second = (np.concatenate([ground(slope), *some]) for some in (blocks, later))

    here, there = Hdbscan()([first, second])

    assert (len(here), len(there)) == (len(first), len(second))
    assert (here[:4000] >= 0).mean() < 0.02  # the ground
    above = [ids[4000:].reshape(4, 400) for ids in (here, there)]
    named = []
    for thing, again in zip(*above, strict=True):
        ids, counts = np.unique(thing[thing >= 0], return_counts=True)
        main = ids[counts.argmax()]
        assert (thing == main).mean() > 0.6  # its foot is lost with the ground
        assert (again == main).mean() > 0.6
        named.append(main)
    assert len(set(named)) == 4


def test_the_same_clouds_have_the_same_superpoints() -> None:
    clouds = [np.concatenate([ground(), block(5, 5), block(-5, 5)])] * 2

    for one, other in zip(Hdbscan()(clouds), Hdbscan()(clouds), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_cloud_of_few_points_has_no_superpoint(number: int) -> None:
    few = block(5, 5)[:number]

    assert [ids.tolist() for ids in Hdbscan()([few, few])] == [[-1] * number] * 2


def test_a_wall_is_no_ground() -> None:
    wall = np.column_stack(
        [np.full(9000, 10.0), GENERATOR.uniform(-20, 20, 9000), GENERATOR.uniform(-1.5, 6, 9000)]
    )
    xyz_m = np.concatenate([ground(), wall])

    height_m = height_above_ground(xyz_m, np.ones(len(xyz_m), bool), 0.25)

    assert np.abs(height_m[:4000]).max() < 0.3
    np.testing.assert_allclose(height_m[4000:], wall[:, 2] + 1.8, atol=0.2)


def test_superpoints_of_a_real_pair_of_scans_hold_one_instance_each(shared_data: Path) -> None:
    """SemanticKITTI's instances: cars stand still beside the road of these two scans.

    The car with the scanner drove 0.86 m from one to the next.
    """
    folder = shared_data / "semantickitti" / "sequences" / "00"
    clouds, instances = [], []
    for number in (0, 1):
        points = np.fromfile(folder / "velodyne" / f"{number:06}.bin", np.float32).reshape(-1, 4)
        labels = np.fromfile(folder / "labels" / f"{number:06}.label", np.uint32)
        clouds.append(points[:, :3] + np.float32([0.86 * number, 0, 0]))
        instances.append(np.where(labels >> 16, labels, 0))

    found = Hdbscan()(clouds)

    ids, instance = np.concatenate(found), np.concatenate(instances)
    assert 50 < len(np.unique(ids)) < 1000
    scan = np.repeat([0, 1], [len(cloud) for cloud in clouds])
    judged = 0
    for number in np.unique(instance[instance > 0]):
        mine = (instance == number) & (ids >= 0)
        if not all((mine & (scan == s)).sum() > 100 for s in (0, 1)):
            continue
        judged += 1
        first, second = (
            np.bincount(ids[mine & (scan == s)], minlength=ids.max() + 1) for s in (0, 1)
        )
        assert first.argmax() == second.argmax()  # the same superpoint in both scans
        chosen = ids == first.argmax()
        inside = instance[chosen][instance[chosen] > 0]
        assert (inside == number).mean() > 0.9
    assert judged >= 3


def test_its_settings_are_its_identity() -> None:
    assert issubclass(Hdbscan, Clustering)
    assert Hdbscan().identity == Hdbscan().identity != Hdbscan(cell_m=0.3).identity
    with pytest.raises(UserError, match=r"num_keyframes_ahead.*greater than or equal to 0"):
        Hdbscan.from_dict({"num_keyframes_ahead": -1})
