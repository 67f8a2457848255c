"""Materials of surfaces: their appearance and how they reflect the LiDAR's light.

The same materials serve several classes (concrete is road, kerb, wall and barrier; paint is on
cars, trucks, buses and excavators), so neither a colour nor an intensity identifies a class.
"""

from enum import IntEnum

import numpy as np
from jaxtyping import Float


class Material(IntEnum):
    """Kinds of surface."""

    ASPHALT = 0
    PAVING = 1
    CONCRETE = 2
    GRASS = 3
    SOIL = 4
    PAINT = 5
    GLASS = 6
    RUBBER = 7
    METAL = 8
    CLOTH = 9
    SKIN = 10
    FACADE = 11
    BRICK = 12
    PLASTER = 13
    WOOD = 14
    LEAVES = 15
    BARK = 16
    PLASTIC = 17
    STRIPES = 18
    SIGN = 19
    LAMP = 20
    SHOPS = 21


# Median intensity (0..255) of a surface seen head on at 10 m, and how fast it falls with the
# angle of incidence. Medians lie within the spread of each other on purpose.
_LIDAR = {
    Material.ASPHALT: (15.0, 0.35),
    Material.PAVING: (19.0, 0.35),
    Material.CONCRETE: (20.0, 0.4),
    Material.GRASS: (21.0, 0.25),
    Material.SOIL: (17.0, 0.3),
    Material.PAINT: (17.0, 0.9),
    Material.GLASS: (7.0, 1.2),
    Material.RUBBER: (7.0, 0.4),
    Material.METAL: (17.0, 0.8),
    Material.CLOTH: (16.0, 0.4),
    Material.SKIN: (18.0, 0.4),
    Material.FACADE: (16.0, 0.5),
    Material.BRICK: (17.0, 0.5),
    Material.PLASTER: (19.0, 0.5),
    Material.WOOD: (17.0, 0.5),
    Material.LEAVES: (17.0, 0.2),
    Material.BARK: (15.0, 0.4),
    Material.PLASTIC: (20.0, 0.5),
    Material.STRIPES: (45.0, 0.3),
    Material.SIGN: (110.0, 0.2),
    Material.LAMP: (80.0, 0.2),
    Material.SHOPS: (14.0, 0.6),
}


def lidar_tables() -> tuple[Float[np.ndarray, " materials"], Float[np.ndarray, " materials"]]:
    """Return median intensity and incidence exponent by material."""
    rows = np.array([_LIDAR[material] for material in Material], np.float32)
    return rows[:, 0], rows[:, 1]
