"""Objects beside a road: trees, hedges, lamps, signs, fences, barriers and cones."""

import numpy as np

from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.mesh import (
    Mesh,
    blob,
    box,
    cylinder,
    join,
    loft,
    quads,
    triangles,
)

_METAL = (0.22, 0.23, 0.24)


def leaf_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a green between blue-green and autumn, much as grass has."""
    base = np.array([0.09, 0.16, 0.04]) if rng.random() < 0.85 else np.array([0.25, 0.15, 0.03])
    return base * rng.uniform(0.45, 1.3) * rng.uniform(0.85, 1.15, 3)


def tree(rng: np.random.Generator) -> Mesh:
    """Return a broad-leaved tree of 4 to 11 m, a conifer or a palm."""
    height = rng.uniform(4.0, 11.0)
    bare = height * rng.uniform(0.22, 0.4)
    bark = np.array([0.12, 0.09, 0.07]) * rng.uniform(0.5, 1.8)
    thick = 0.022 * height + rng.uniform(0.03, 0.1)
    lean = rng.normal(0, 0.03 * height, 2)
    fork = np.array([*lean, bare * 1.25])
    parts = [cylinder((0, 0, -0.2), fork, (thick, thick * 0.7), Material.BARK, bark, num_sides=7)]
    colour, reach = leaf_colour(rng), height * rng.uniform(0.2, 0.32)
    for _ in range(rng.integers(4, 7)):
        offset = rng.uniform(-0.7, 0.7, 3) * (reach, reach, (height - bare) * 0.42)
        centre = np.array([*lean, (bare + height) / 2]) + offset
        parts.append(
            cylinder(fork, centre, (thick * 0.5, thick * 0.2), Material.BARK, bark, num_sides=4)
        )
        radius = reach * rng.uniform(0.45, 0.75)
        shade = colour * rng.uniform(0.75, 1.25)
        parts.append(crown(rng, centre, (radius, radius, radius * 0.85), shade))
    return join(parts)


def crown(
    rng: np.random.Generator, centre_m: np.ndarray, radii_m: tuple[float, ...], colour: np.ndarray
) -> Mesh:
    """Return a lump of foliage: a ragged core and loose sprays of leaves round it."""
    core = blob(
        np.asarray(radii_m) * 0.7,
        centre_m,
        Material.LEAVES,
        colour * 0.55,
        num_rings=6,
        num_sides=8,
        roughness=0.35,
        rng=rng,
    )
    count = int(np.clip(60 * np.prod(radii_m) ** (2 / 3), 40, 220))
    size = 0.17 * min(radii_m) + 0.08
    return join([core, sprays(rng, centre_m, radii_m, colour, count=count, size_m=size)])


def sprays(
    rng: np.random.Generator,
    centre_m: np.ndarray,
    radii_m: tuple[float, ...],
    colour: np.ndarray,
    *,
    count: int,
    size_m: float,
) -> Mesh:
    """Return leafy triangles of random pose within an ellipsoid's outer shell."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = np.asarray(centre_m) + direction * rng.uniform(0.6, 1.05, (count, 1)) * radii_m
    corners = middle[:, None] + rng.normal(0, size_m, (count, 3, 3))
    mesh = triangles(corners, Material.LEAVES, colour)
    shade = rng.uniform(0.6, 1.35, (count, 1)).astype(np.float32)
    return mesh.tinted(shade)


def conifer(rng: np.random.Generator) -> Mesh:
    """Return a pointed tree of 4 to 9 m."""
    height, colour = rng.uniform(4, 9), leaf_colour(rng) * 0.7
    parts = [
        cylinder(
            (0, 0, -0.2),
            (0, 0, height * 0.9),
            (0.16, 0.04),
            Material.BARK,
            (0.09, 0.07, 0.05),
            num_sides=6,
        )
    ]
    for level in np.linspace(0.2, 0.95, 6):
        radius = height * 0.24 * (1.05 - level)
        centre = np.array([0, 0, height * level])
        parts.append(
            sprays(
                rng,
                centre,
                (radius, radius, height * 0.1),
                colour,
                count=50,
                size_m=radius * 0.2 + 0.07,
            )
        )
        core = (radius * 0.7, radius * 0.7, height * 0.11)
        parts.append(
            blob(
                core,
                centre,
                Material.LEAVES,
                colour * 0.6,
                num_rings=4,
                num_sides=7,
                roughness=0.3,
                rng=rng,
            )
        )
    return join(parts)


def bush(rng: np.random.Generator) -> Mesh:
    """Return a shrub of 0.5 to 1.8 m."""
    width, height = rng.uniform(0.4, 1.1), rng.uniform(0.5, 1.8)
    return crown(
        rng, np.array([0, 0, height * 0.42]), (width, width, height * 0.55), leaf_colour(rng)
    )


def hedge(rng: np.random.Generator, length_m: float) -> Mesh:
    """Return a clipped hedge along x, about the size of a garden wall."""
    height, width, colour = rng.uniform(0.7, 1.7), rng.uniform(0.4, 0.8), leaf_colour(rng)
    core = box((length_m, width, height), (0, 0, height / 2), Material.LEAVES, colour * 0.8)
    parts = [core]
    for x in np.arange(-length_m / 2, length_m / 2, 1.2):
        centre = np.array([x + 0.6, 0, height / 2])
        parts.append(
            sprays(rng, centre, (0.7, width * 0.6, height * 0.55), colour, count=34, size_m=0.1)
        )
    return join(parts)


def lamp_post(rng: np.random.Generator) -> Mesh:
    """Return a street lamp whose arm reaches along +y, over the road."""
    height, reach = rng.uniform(6, 9), rng.uniform(0.8, 2.2)
    head = (0, reach, height + 0.1)
    return join(
        [
            cylinder((0, 0, 0), (0, 0, height), (0.1, 0.06), Material.METAL, _METAL, num_sides=7),
            cylinder((0, 0, height), head, (0.05, 0.04), Material.METAL, _METAL, num_sides=5),
            box((0.3, 0.7, 0.12), head, Material.LAMP, (0.5, 0.5, 0.45)),
        ]
    )


def traffic_light(rng: np.random.Generator) -> Mesh:
    """Return a signal on a pole; its face looks along -x."""
    height = rng.uniform(3.0, 3.6)
    parts = [
        cylinder((0, 0, 0), (0, 0, height), (0.08, 0.07), Material.METAL, _METAL, num_sides=7),
        box((0.25, 0.32, 0.95), (-0.15, 0, height - 0.3), Material.PLASTIC, (0.02, 0.02, 0.02)),
    ]
    for step, colour in enumerate(((0.5, 0.02, 0.02), (0.5, 0.35, 0.02), (0.02, 0.4, 0.1))):
        at = (-0.29, 0, height - 0.02 - 0.28 * step)
        parts.append(blob((0.03, 0.1, 0.1), at, Material.LAMP, colour, num_rings=4, num_sides=7))
    return join(parts)


def road_sign(rng: np.random.Generator) -> Mesh:
    """Return a plate on a pole; its face looks along -x."""
    height, width = rng.uniform(2.2, 2.9), rng.uniform(0.5, 0.9)
    colours = ((0.5, 0.03, 0.03), (0.03, 0.08, 0.4), (0.6, 0.6, 0.58), (0.03, 0.25, 0.08))
    plate = box((0.04, width, width), (-0.06, 0, height), Material.SIGN, colours[rng.integers(4)])
    pole = cylinder((0, 0, 0), (0, 0, height), (0.04, 0.04), Material.METAL, _METAL, num_sides=6)
    return join([pole, plate])


def fence(rng: np.random.Generator, length_m: float) -> Mesh:
    """Return a garden wall, a picket fence or railings along x."""
    style = rng.choice(["wall", "pickets", "railings"])
    if style == "wall":
        height, colour = rng.uniform(0.6, 1.8), np.array([0.3, 0.22, 0.17]) * rng.uniform(0.5, 1.6)
        material = Material.BRICK if rng.random() < 0.5 else Material.PLASTER
        return box((length_m, 0.25, height), (0, 0, height / 2), material, colour)
    height, gap = rng.uniform(0.9, 1.4), 0.16 if style == "pickets" else 0.25
    material = Material.WOOD if style == "pickets" else Material.METAL
    colour = np.array([0.3, 0.2, 0.12]) * rng.uniform(0.3, 2.0)
    parts = [box((length_m, 0.05, 0.08), (0, 0, z * height), material, colour) for z in (0.3, 0.9)]
    x = np.arange(-length_m / 2, length_m / 2, gap)
    corners = np.zeros((len(x), 4, 3))
    corners[:, :, 0] = x[:, None] + np.array([0, 0.09, 0.09, 0]) * (
        1 if style == "pickets" else 0.4
    )
    corners[:, 2:, 2] = height
    return join([*parts, quads(corners, material, colour)])


def bus_shelter(rng: np.random.Generator) -> Mesh:
    """Return a shelter open along -y."""
    colour = np.array([0.2, 0.2, 0.21]) * rng.uniform(0.5, 2)
    parts = [
        box((4.0, 1.5, 0.12), (0, 0, 2.5), Material.METAL, colour),
        box((4.0, 0.04, 1.9), (0, 0.7, 1.35), Material.GLASS, (0.08, 0.1, 0.1)),
        box((0.06, 1.2, 1.9), (1.9, 0, 1.35), Material.SIGN, rng.uniform(0.1, 0.6, 3)),
        box((2.5, 0.4, 0.08), (0, 0.4, 0.5), Material.WOOD, (0.2, 0.13, 0.08)),
    ]
    for x in (-1.9, 1.9):
        parts.append(
            cylinder(
                (x, 0.65, 0), (x, 0.65, 2.5), (0.05, 0.05), Material.METAL, colour, num_sides=5
            )
        )
    return join(parts)


def litter_bin(rng: np.random.Generator) -> Mesh:
    """Return a wheeled bin."""
    colour = rng.uniform(0.02, 0.3, 3)
    bin_ = box((0.6, 0.6, 1.0), (0, 0, 0.55), Material.PLASTIC, colour, (1.15, 1.1))
    return join([bin_, box((0.7, 0.68, 0.06), (0, 0, 1.08), Material.PLASTIC, colour * 0.7)])


def barrier(rng: np.random.Generator) -> Mesh:
    """Return one 2 to 3 m element along y (its width): concrete, water-filled plastic or a gate."""
    style = rng.choice(["jersey", "plastic", "gate"], p=[0.4, 0.35, 0.25])
    width = rng.uniform(1.9, 3.0)
    if style == "gate":
        return _gate(width)
    plastic = style == "plastic"
    colours = ((0.55, 0.08, 0.02), (0.65, 0.65, 0.62), (0.6, 0.3, 0.02))
    colour = (
        colours[rng.integers(3)] if plastic else np.array([0.3, 0.3, 0.28]) * rng.uniform(0.6, 1.3)
    )
    material = Material.PLASTIC if plastic else Material.CONCRETE
    profile = [
        (0.3, 0.0),
        (0.27, 0.15),
        (0.12, 0.4),
        (0.09, 0.95),
        (-0.09, 0.95),
        (-0.12, 0.4),
        (-0.27, 0.15),
        (-0.3, 0.0),
    ]
    ends = [[(x, y, z) for x, z in profile] for y in (-width / 2, width / 2)]
    return loft(np.array(ends), material, colour)


def _gate(width: float) -> Mesh:
    """Two striped planks on feet."""
    parts = [
        box((0.05, width, 0.22), (0, 0, z), Material.STRIPES, (0.6, 0.06, 0.03)) for z in (0.9, 0.5)
    ]
    for y in (-width * 0.4, width * 0.4):
        parts.append(box((0.06, 0.06, 1.05), (0, y, 0.52), Material.METAL, _METAL))
        parts.append(box((0.6, 0.12, 0.08), (0, y, 0.04), Material.RUBBER, (0.03, 0.03, 0.03)))
    return join(parts)


def cone(rng: np.random.Generator) -> Mesh:
    """Return a traffic cone of 0.5 to 1.05 m or a striped bollard."""
    height, colour = rng.uniform(0.5, 1.05), np.array([0.62, 0.13, 0.02]) * rng.uniform(0.7, 1.15)
    base = box((0.36, 0.36, 0.05), (0, 0, 0.025), Material.RUBBER, (0.04, 0.04, 0.04))
    radii = (0.15, 0.03) if rng.random() < 0.75 else (0.1, 0.09)
    white = np.array([0.7, 0.7, 0.68])
    parts = [base]
    for low, high, material, tint in (
        (0.05, 0.45, Material.PLASTIC, colour),
        (0.45, 0.65, Material.SIGN, white),
        (0.65, 1.0, Material.PLASTIC, colour),
    ):
        wide = tuple(radii[0] + (radii[1] - radii[0]) * part for part in (low, high))
        ends = (0, 0, low * height), (0, 0, high * height)
        parts.append(cylinder(*ends, (wide[0], wide[1]), material, tint))
    return join(parts)
