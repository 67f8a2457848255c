"""SemanticKITTI's 34 fine classes and the 19 classes of its evaluation."""

import functools

import numpy as np
from jaxtyping import UInt8

from olivine.data.records import IGNORE

# In the benchmark's order, without its ignored class 0
CLASS_NAMES = (
    "car",
    "bicycle",
    "motorcycle",
    "truck",
    "other-vehicle",
    "person",
    "bicyclist",
    "motorcyclist",
    "road",
    "parking",
    "sidewalk",
    "other-ground",
    "building",
    "fence",
    "vegetation",
    "trunk",
    "terrain",
    "pole",
    "traffic-sign",
)

# Every fine class by its id in the label files, with its class in the evaluation: the benchmark's
# learning map for single scans (semantic-kitti.yaml of semantic-kitti-api), in which moving objects
# have the class of resting ones.
FINE_CLASSES: dict[int, tuple[str, str | None]] = {
    0: ("unlabeled", None),
    1: ("outlier", None),
    10: ("car", "car"),
    11: ("bicycle", "bicycle"),
    13: ("bus", "other-vehicle"),
    15: ("motorcycle", "motorcycle"),
    16: ("on-rails", "other-vehicle"),
    18: ("truck", "truck"),
    20: ("other-vehicle", "other-vehicle"),
    30: ("person", "person"),
    31: ("bicyclist", "bicyclist"),
    32: ("motorcyclist", "motorcyclist"),
    40: ("road", "road"),
    44: ("parking", "parking"),
    48: ("sidewalk", "sidewalk"),
    49: ("other-ground", "other-ground"),
    50: ("building", "building"),
    51: ("fence", "fence"),
    52: ("other-structure", None),
    60: ("lane-marking", "road"),
    70: ("vegetation", "vegetation"),
    71: ("trunk", "trunk"),
    72: ("terrain", "terrain"),
    80: ("pole", "pole"),
    81: ("traffic-sign", "traffic-sign"),
    99: ("other-object", None),
    252: ("moving-car", "car"),
    253: ("moving-bicyclist", "bicyclist"),
    254: ("moving-person", "person"),
    255: ("moving-motorcyclist", "motorcyclist"),
    256: ("moving-on-rails", "other-vehicle"),
    257: ("moving-bus", "other-vehicle"),
    258: ("moving-truck", "truck"),
    259: ("moving-other-vehicle", "other-vehicle"),
}
UNKNOWN = 254  # in the lookup: no fine class has this id, so the label file is damaged


@functools.cache
def class_lookup() -> UInt8[np.ndarray, "65536"]:
    """Return the class of each id that 16 bits can hold: 0 to 18, IGNORE, or UNKNOWN."""
    lookup = np.full(1 << 16, UNKNOWN, np.uint8)
    for index, (_, evaluated) in FINE_CLASSES.items():
        lookup[index] = IGNORE if evaluated is None else CLASS_NAMES.index(evaluated)
    return lookup
