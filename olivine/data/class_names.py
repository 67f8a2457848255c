"""The vocabularies that several parts share; a class's id is its position."""

# nuScenes-lidarseg's evaluation classes in the benchmark's order, without its ignored class 0
NUSCENES = (
    "barrier",
    "bicycle",
    "bus",
    "car",
    "construction_vehicle",
    "motorcycle",
    "pedestrian",
    "traffic_cone",
    "trailer",
    "truck",
    "driveable_surface",
    "other_flat",
    "sidewalk",
    "terrain",
    "manmade",
    "vegetation",
)

# The authors' weak vocabularies in their own order (method.md §2.1): A by Grounded-SAM, B by SEEM
WEAK_A = (
    "barrier",
    "bicycle",
    "bus",
    "car",
    "motorcycle",
    "pedestrian",
    "traffic_cone",
    "truck",
    "road",
    "sidewalk",
    "terrain",
    "vegetation",
    "building",
)
WEAK_B = (
    "barrier",
    "bicycle",
    "bus",
    "car",
    "truck",
    "trailer",
    "motorcycle",
    "construction_vehicle",
    "pedestrian",
    "traffic_cone",
    "road",
    "sidewalk",
    "terrain",
    "vegetation",
    "building",
    "other_ground",
)
