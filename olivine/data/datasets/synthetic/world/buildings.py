"""Houses, blocks and towers, with the depth that LiDAR measures: bays, balconies, awnings."""

from itertools import pairwise

import numpy as np

from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.mesh import Mesh, box, cylinder, join, quads, triangles

# Linear wall colours: creams, greys, brick reds, browns, whites, pale greens and blues.
_WALLS = np.array(
    [
        [0.50, 0.43, 0.32], [0.30, 0.30, 0.30], [0.28, 0.10, 0.06], [0.20, 0.13, 0.08],
        [0.65, 0.64, 0.60], [0.22, 0.28, 0.18], [0.18, 0.24, 0.32], [0.42, 0.28, 0.16],
        [0.12, 0.12, 0.13], [0.40, 0.40, 0.38],
    ]
)  # fmt: skip


def wall_colour(rng: np.random.Generator) -> np.ndarray:
    """Return the colour of a building's walls."""
    return np.clip(_WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.65, 1.25), 0.02, 0.85)


def block(rng: np.random.Generator, width_m: float, depth_m: float, height_m: float) -> Mesh:
    """Return a block of flats or offices, its front along x at y = 0, its body behind at y > 0."""
    colour = wall_colour(rng)
    skin = Material.BRICK if rng.random() < 0.3 else Material.FACADE
    w = width_m / 2
    ground = rng.uniform(3.2, 4.2)
    shops = rng.random() < 0.45
    parts = [_walls(w, depth_m, (0.0, ground), Material.SHOPS if shops else skin, colour)]
    parts.append(_walls(w, depth_m, (ground, height_m), skin, colour))
    roof = [[(-w, 0, height_m), (w, 0, height_m), (w, depth_m, height_m), (-w, depth_m, height_m)]]
    parts.append(quads(np.array(roof), Material.CONCRETE, (0.2, 0.2, 0.2)))
    parts.append(
        box((width_m + 0.3, 0.35, 0.4), (0, -0.05, height_m), Material.PLASTER, colour * 0.8)
    )
    if shops:
        parts += _awnings(rng, w, ground)
    if rng.random() < 0.5 and height_m > 8:
        parts += _balconies(rng, w, ground, height_m, colour)
    elif rng.random() < 0.6:
        parts += _pilasters(w, height_m, colour * 0.85)
    return join(parts)


def _walls(
    w: float, depth: float, levels: tuple[float, float], material: int, colour: np.ndarray
) -> Mesh:
    """Four upright faces between two heights, the front one at y = 0."""
    low, high = levels
    ring = [(-w, 0.0), (w, 0.0), (w, depth), (-w, depth), (-w, 0.0)]
    faces = [[(*a, low), (*b, low), (*b, high), (*a, high)] for a, b in pairwise(ring)]
    return quads(np.array(faces), material, colour)


def _awnings(rng: np.random.Generator, w: float, ground: float) -> list[Mesh]:
    parts = []
    for x in np.arange(-w + 2.2, w - 2.0, 4.5):
        if rng.random() < 0.6:
            reach, colour = rng.uniform(0.7, 1.6), rng.uniform(0.02, 0.5, 3)
            top, low = ground - 0.6, ground - 1.2
            face = [
                [
                    (x - 1.8, -0.02, top),
                    (x + 1.8, -0.02, top),
                    (x + 1.8, -reach, low),
                    (x - 1.8, -reach, low),
                ]
            ]
            parts.append(quads(np.array(face), Material.CLOTH, colour))
    parts.append(
        box(
            (2 * w, 0.25, 0.7), (0, -0.1, ground - 0.2), Material.PLASTIC, rng.uniform(0.03, 0.6, 3)
        )
    )
    return parts


def _balconies(
    rng: np.random.Generator, w: float, ground: float, height: float, colour: np.ndarray
) -> list[Mesh]:
    parts = []
    for x in np.arange(-w + 2.5, w - 1.5, rng.uniform(4, 6.5)):
        for z in np.arange(ground + 0.1, height - 2.5, 3.1):
            parts.append(box((2.4, 1.1, 0.18), (x, -0.55, z), Material.CONCRETE, colour * 0.7))
            parts.append(box((2.4, 0.06, 0.95), (x, -1.07, z + 0.5), Material.METAL, colour * 0.5))
    return parts


def _pilasters(w: float, height: float, colour: np.ndarray) -> list[Mesh]:
    return [
        box((0.5, 0.35, height), (x, -0.12, height / 2), Material.PLASTER, colour)
        for x in np.linspace(-w + 0.3, w - 0.3, max(2, int(w / 2.2)))
    ]


def house(rng: np.random.Generator, width_m: float) -> Mesh:
    """Return a gabled house with a porch, its front along x at y = 0."""
    depth, eaves, colour = rng.uniform(7, 10), rng.uniform(2.8, 5.8), wall_colour(rng)
    ridge, w = eaves + rng.uniform(1.5, 3.2), width_m / 2
    tiles = np.array([0.16, 0.08, 0.06]) * rng.uniform(0.5, 2.0)
    skin = Material.BRICK if rng.random() < 0.4 else Material.FACADE
    over, mid = 0.5, depth / 2
    roof = [
        [
            (-w - over, -over, eaves),
            (w + over, -over, eaves),
            (w + over, mid, ridge),
            (-w - over, mid, ridge),
        ],
        [
            (-w - over, depth + over, eaves),
            (w + over, depth + over, eaves),
            (w + over, mid, ridge),
            (-w - over, mid, ridge),
        ],
    ]
    gables = [[(x, 0, eaves), (x, depth, eaves), (x, mid, ridge)] for x in (-w, w)]
    door = rng.uniform(-w + 1.5, w - 1.5)
    parts = [
        _walls(w, depth, (0.0, eaves), skin, colour),
        quads(np.array(roof), Material.BRICK, tiles),
        triangles(np.array(gables), Material.PLASTER, colour),
        box((1.2, 0.12, 2.1), (door, -0.05, 1.05), Material.WOOD, rng.uniform(0.02, 0.4, 3)),
        box((2.2, 1.4, 0.15), (door, -0.7, 2.5), Material.BRICK, tiles),
    ]
    for side in (-1, 1):
        foot = (door + side * 0.95, -1.3, 0)
        parts.append(
            cylinder(foot, (*foot[:2], 2.5), (0.08, 0.08), Material.WOOD, colour, num_sides=6)
        )
    return join(parts)


def hall(rng: np.random.Generator, width_m: float, depth_m: float) -> Mesh:
    """Return a warehouse with roller doors, its front along x at y = 0."""
    height, colour, w = rng.uniform(5, 9), wall_colour(rng), width_m / 2
    parts = [
        _walls(w, depth_m, (0.0, height), Material.PLASTER, colour),
        box((width_m, depth_m, 0.3), (0, depth_m / 2, height), Material.METAL, colour * 0.7),
    ]
    for x in np.arange(-w + 3, w - 2.5, 6.0):
        parts.append(
            box((3.6, 0.15, 3.8), (x, -0.03, 1.9), Material.METAL, rng.uniform(0.1, 0.5, 3))
        )
    return join(parts)
