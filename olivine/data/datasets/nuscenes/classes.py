"""nuScenes-lidarseg's 32 fine classes and the 16 classes of its evaluation."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from olivine.data.class_names import NUSCENES
from olivine.data.records import IGNORE

CLASS_NAMES = NUSCENES

# Every fine class in the order of its index in the released label files, with its class in the
# evaluation (nuscenes-devkit LidarsegClassMapper). The devkit's written instructions list 25 to 30
# in another order, which is not that of the files.
FINE_CLASSES: tuple[tuple[str, str | None], ...] = (
    ("noise", None),
    ("animal", None),
    ("human.pedestrian.adult", "pedestrian"),
    ("human.pedestrian.child", "pedestrian"),
    ("human.pedestrian.construction_worker", "pedestrian"),
    ("human.pedestrian.personal_mobility", None),
    ("human.pedestrian.police_officer", "pedestrian"),
    ("human.pedestrian.stroller", None),
    ("human.pedestrian.wheelchair", None),
    ("movable_object.barrier", "barrier"),
    ("movable_object.debris", None),
    ("movable_object.pushable_pullable", None),
    ("movable_object.trafficcone", "traffic_cone"),
    ("static_object.bicycle_rack", None),
    ("vehicle.bicycle", "bicycle"),
    ("vehicle.bus.bendy", "bus"),
    ("vehicle.bus.rigid", "bus"),
    ("vehicle.car", "car"),
    ("vehicle.construction", "construction_vehicle"),
    ("vehicle.emergency.ambulance", None),
    ("vehicle.emergency.police", None),
    ("vehicle.motorcycle", "motorcycle"),
    ("vehicle.trailer", "trailer"),
    ("vehicle.truck", "truck"),
    ("flat.driveable_surface", "driveable_surface"),
    ("flat.other", "other_flat"),
    ("flat.sidewalk", "sidewalk"),
    ("flat.terrain", "terrain"),
    ("static.manmade", "manmade"),
    ("static.other", None),
    ("static.vegetation", "vegetation"),
    ("vehicle.ego", None),
)
UNKNOWN = 254  # in a lookup: no fine class has this id, so the label file is damaged


def official_indices() -> dict[str, int]:
    """Return the index of every fine class in the released label files."""
    return {name: index for index, (name, _) in enumerate(FINE_CLASSES)}


def class_lookup(index_of_fine: Mapping[str, int]) -> UInt8[np.ndarray, "256"]:
    """Return the class id of each raw label: 0 to 15, IGNORE, or UNKNOWN where there is no class.

    `index_of_fine` is the data set's own category table; its names must be those above.
    """
    class_ids = {name: class_id for class_id, name in enumerate(CLASS_NAMES)}
    coarse = dict(FINE_CLASSES)
    lookup = np.full(256, UNKNOWN, np.uint8)
    for name, index in index_of_fine.items():
        evaluated = coarse[name]
        lookup[index] = IGNORE if evaluated is None else class_ids[evaluated]
    return lookup
