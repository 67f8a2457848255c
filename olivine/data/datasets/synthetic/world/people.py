"""Pedestrians, and bicycles and motorcycles with or without a rider."""

import numpy as np

from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.mesh import Mesh, blob, box, cylinder, join

_DARK = (0.03, 0.03, 0.03)
_METAL = (0.25, 0.25, 0.26)


def person(
    rng: np.random.Generator, walking: bool = True, child: bool = False, worker: bool = False
) -> Mesh:
    """Return a person of 1.55 to 1.95 m (a child of 1.0 to 1.4), mid-stride if walking."""
    height = rng.uniform(1.0, 1.4) if child else rng.normal(1.73, 0.08)
    stride = rng.uniform(0.25, 0.5) if walking else rng.uniform(0, 0.08)
    top, trousers, skin = _cloth(rng, worker), _cloth(rng), _skin(rng)
    hip, shoulder = 0.5 * height, 0.83 * height
    parts = _legs(hip, stride, trousers)
    parts.append(_torso(hip, shoulder, rng.uniform(0.9, 1.25), top))
    swing = stride * rng.choice([-1, 1])
    for side in (-1, 1):
        joint = (0.0, side * 0.21, shoulder - 0.05)
        hand = (side * swing * 0.7, side * 0.26, hip - 0.02)
        parts.append(cylinder(joint, hand, (0.055, 0.04), Material.CLOTH, top, num_sides=5))
    parts += _head(rng, height, skin, worker)
    if rng.random() < 0.3:
        at = (-0.2, 0, shoulder - 0.25)
        parts.append(box((0.18, 0.3, 0.42), at, Material.CLOTH, _cloth(rng), (0.8, 0.8)))
    return join(parts)


def _legs(hip: float, stride: float, colour: np.ndarray) -> list[Mesh]:
    parts = []
    for side in (-1, 1):
        foot = (side * stride * 0.6, side * 0.1, 0.06)
        parts.append(
            cylinder(
                (0, side * 0.09, hip + 0.03), foot, (0.1, 0.06), Material.CLOTH, colour, num_sides=6
            )
        )
        parts.append(
            box((0.26, 0.1, 0.09), (foot[0] + 0.05, foot[1], 0.045), Material.RUBBER, _DARK)
        )
    return parts


def _torso(hip: float, shoulder: float, girth: float, colour: np.ndarray) -> Mesh:
    middle = (hip + shoulder) / 2
    radii = (0.15 * girth, 0.22 * girth, (shoulder - hip) / 2 + 0.1)
    return blob(radii, (0, 0, middle), Material.CLOTH, colour, num_rings=6, num_sides=8)


def _head(rng: np.random.Generator, height: float, skin: np.ndarray, helmet: bool) -> list[Mesh]:
    centre = (0.02, 0, height - 0.12)
    hair = (0.6, 0.45, 0.03) if helmet else np.array([0.05, 0.03, 0.02]) * rng.uniform(0.4, 5)
    stuff = Material.PLASTIC if helmet else Material.CLOTH
    return [
        blob((0.1, 0.085, 0.13), centre, Material.SKIN, skin, num_rings=5, num_sides=7),
        blob((0.115, 0.1, 0.1), (-0.02, 0, height - 0.08), stuff, hair, num_rings=4, num_sides=7),
    ]  # fmt: skip


def _cloth(rng: np.random.Generator, worker: bool = False) -> np.ndarray:
    if worker:
        return np.array([0.65, 0.25, 0.02] if rng.random() < 0.5 else [0.45, 0.6, 0.03])
    grey, tint = rng.choice([0.02, 0.06, 0.2, 0.5]), rng.uniform(0.3, 1.0, 3)
    return grey * (tint if rng.random() < 0.6 else np.ones(3))


def _skin(rng: np.random.Generator) -> np.ndarray:
    return np.array([0.5, 0.3, 0.2]) * rng.uniform(0.2, 1.1)


def bicycle(rng: np.random.Generator, rider: bool) -> Mesh:
    """Return a bicycle of about 1.75 m; a rider belongs to it, as in nuScenes."""
    colour = np.clip(_cloth(rng) * 1.5, 0.02, 0.7)
    parts = [*_spoked_wheel(0.52, 0.34), *_spoked_wheel(-0.52, 0.34)]
    seat, bracket, head = (-0.2, 0, 0.85), (0, 0, 0.3), (0.4, 0, 0.85)
    for start, end in (
        (seat, bracket), (bracket, head), (seat, head), (head, (0.52, 0, 0.34)),
        (bracket, (-0.52, 0, 0.34)), ((-0.2, 0, 0.75), (-0.52, 0, 0.34)), (head, (0.36, 0, 1.02)),
    ):  # fmt: skip
        parts.append(cylinder(start, end, (0.028, 0.028), Material.METAL, colour, num_sides=4))
    parts.append(
        cylinder(
            (0.36, -0.28, 1.03),
            (0.36, 0.28, 1.03),
            (0.02, 0.02),
            Material.METAL,
            _METAL,
            num_sides=4,
        )
    )
    parts.append(box((0.25, 0.14, 0.06), (-0.22, 0, 0.93), Material.RUBBER, _DARK))
    if rider:
        parts += _rider(rng, 0.95, (0.36, 1.03), 0.25)
    return join(parts)


def motorcycle(rng: np.random.Generator, rider: bool) -> Mesh:
    """Return a motorcycle or scooter of about 2.1 m; a rider belongs to it."""
    colour = np.clip(_cloth(rng) * 1.8, 0.02, 0.7)
    parts = []
    for x in (0.7, -0.65):
        parts.append(
            cylinder(
                (x, -0.07, 0.31),
                (x, 0.07, 0.31),
                (0.31, 0.31),
                Material.RUBBER,
                _DARK,
                num_sides=10,
            )
        )
    parts += [
        blob((0.42, 0.17, 0.2), (0.12, 0, 0.78), Material.PAINT, colour, num_rings=5, num_sides=8),
        box((0.75, 0.26, 0.3), (-0.05, 0, 0.45), Material.METAL, _METAL, (0.8, 0.8)),
        box((0.75, 0.27, 0.12), (-0.45, 0, 0.8), Material.RUBBER, _DARK, (0.9, 0.8)),
        blob(
            (0.25, 0.15, 0.12), (-0.75, 0, 0.72), Material.PAINT, colour, num_rings=4, num_sides=7
        ),
        cylinder((0.7, 0, 0.31), (0.42, 0, 1.0), (0.06, 0.05), Material.METAL, _METAL, num_sides=5),
        cylinder(
            (0.4, -0.36, 1.03),
            (0.4, 0.36, 1.03),
            (0.025, 0.025),
            Material.METAL,
            _DARK,
            num_sides=4,
        ),
        box((0.12, 0.22, 0.22), (0.55, 0, 0.92), Material.LAMP, (0.6, 0.6, 0.55)),
    ]
    if rider:
        parts += _rider(rng, 0.86, (0.4, 1.03), 0.35)
        parts.append(
            blob(
                (0.14, 0.13, 0.15),
                (0.03, 0, 1.52),
                Material.PAINT,
                _cloth(rng),
                num_rings=5,
                num_sides=7,
            )
        )
    elif rng.random() < 0.5:
        parts.append(box((0.35, 0.38, 0.32), (-0.85, 0, 1.02), Material.PLASTIC, _cloth(rng)))
    return join(parts)


def _spoked_wheel(x: float, radius: float) -> list[Mesh]:
    """A rim with gaps, so that beams pass through a wheel as they do through a real one."""
    angle = np.linspace(0, 2 * np.pi, 13)
    rim = np.stack([x + radius * np.cos(angle), 0 * angle, radius + radius * np.sin(angle)], axis=1)
    parts = [
        cylinder(rim[i], rim[i + 1], (0.03, 0.03), Material.RUBBER, _DARK, num_sides=4)
        for i in range(12)
    ]
    for i in range(0, 12, 2):
        parts.append(
            cylinder((x, 0, radius), rim[i], (0.008, 0.008), Material.METAL, _METAL, num_sides=3)
        )
    return parts


def _rider(
    rng: np.random.Generator, seat: float, grip: tuple[float, float], pedal: float
) -> list[Mesh]:
    top, trousers = _cloth(rng), _cloth(rng)
    shoulder = np.array([0.02, 0, seat + 0.5])
    parts = [
        blob(
            (0.15, 0.2, 0.34), (-0.1, 0, seat + 0.28), Material.CLOTH, top, num_rings=6, num_sides=8
        ),
        *(part.moved((-0.02, 0, 0)) for part in _head(rng, seat + 0.83, _skin(rng), False)),
    ]
    for side in (-1, 1):
        hand = (grip[0], side * 0.25, grip[1])
        knee = (0.2, side * 0.14, seat - 0.12)
        foot = (0.05 * side, side * 0.13, pedal)
        parts += [
            cylinder(
                shoulder + np.array([0, side * 0.18, 0]),
                hand,
                (0.055, 0.04),
                Material.CLOTH,
                top,
                num_sides=5,
            ),
            cylinder(
                (-0.15, side * 0.1, seat + 0.03),
                knee,
                (0.09, 0.07),
                Material.CLOTH,
                trousers,
                num_sides=5,
            ),
            cylinder(knee, foot, (0.07, 0.05), Material.CLOTH, trousers, num_sides=5),
        ]
    return parts
