"""nuScenes' 32 categories, the 16 classes of its lidarseg task, attributes and visibilities."""

from enum import IntEnum

import numpy as np
from jaxtyping import UInt8

from olivine.data.records import IGNORE

CATEGORY_NAMES = (
    "noise",
    "animal",
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.stroller",
    "human.pedestrian.wheelchair",
    "movable_object.barrier",
    "movable_object.debris",
    "movable_object.pushable_pullable",
    "movable_object.trafficcone",
    "static_object.bicycle_rack",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.motorcycle",
    "vehicle.trailer",
    "vehicle.truck",
    "flat.driveable_surface",
    "flat.other",
    "flat.sidewalk",
    "flat.terrain",
    "static.manmade",
    "static.other",
    "static.vegetation",
    "vehicle.ego",
)


class Category(IntEnum):
    """Categories this world contains, by their index in the lidarseg files."""

    NOISE = 0
    ADULT = 2
    CHILD = 3
    WORKER = 4
    BARRIER = 9
    DEBRIS = 10
    PUSHABLE = 11
    CONE = 12
    RACK = 13
    BICYCLE = 14
    BENDY_BUS = 15
    BUS = 16
    CAR = 17
    CONSTRUCTION = 18
    MOTORCYCLE = 21
    TRAILER = 22
    TRUCK = 23
    ROAD = 24
    OTHER_FLAT = 25
    SIDEWALK = 26
    TERRAIN = 27
    MANMADE = 28
    STATIC_OTHER = 29
    VEGETATION = 30
    EGO = 31


_CLASS_OF_CATEGORY = {
    9: 0, 14: 1, 15: 2, 16: 2, 17: 3, 18: 4, 21: 5, 2: 6, 3: 6, 4: 6, 6: 6, 12: 7, 22: 8, 23: 9,
    24: 10, 25: 11, 26: 12, 27: 13, 28: 14, 30: 15,
}  # fmt: skip


def class_of_category() -> UInt8[np.ndarray, " 256"]:
    """Return the table from category index to class id in 0..15, IGNORE where it has none.

    nuscenes-devkit's LidarsegClassMapper numbers the same classes 1..16 and ignores 0.
    """
    table = np.full(256, IGNORE, np.uint8)
    table[list(_CLASS_OF_CATEGORY)] = list(_CLASS_OF_CATEGORY.values())
    return table


# Tokens are those of the real tables.
ATTRIBUTES = (
    ("vehicle.moving", "cb5118da1ab342aa947717dc53544259", "Vehicle is moving."),
    (
        "vehicle.stopped",
        "c3246a1e22a14fcb878aa61e69ae3329",
        "Vehicle, with a driver/rider in/on it, is currently stationary but has an intent to move.",
    ),
    (
        "vehicle.parked",
        "58aa28b1c2a54dc88e169808c07331e3",
        "Vehicle is stationary (usually for longer duration) with no immediate intent to move.",
    ),
    (
        "cycle.with_rider",
        "a14936d865eb4216b396adae8cb3939c",
        "There is a rider on the bicycle or motorcycle.",
    ),
    (
        "cycle.without_rider",
        "5a655f9751944309a277276b8f473452",
        "There is NO rider on the bicycle or motorcycle.",
    ),
    (
        "pedestrian.sitting_lying_down",
        "03aa62109bf043afafdea7d875dd4f43",
        "The human is sitting or lying down.",
    ),
    ("pedestrian.standing", "4d8821270b4a47e3a8a300cbec48188e", "The human is standing."),
    ("pedestrian.moving", "ab83627ff28b465b85c427162dec722f", "The human is moving."),
)

VISIBILITIES = (("1", 0, 40), ("2", 40, 60), ("3", 60, 80), ("4", 80, 100))
