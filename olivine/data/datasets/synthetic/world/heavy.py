"""Trucks, trailers, buses and excavators, each one different.

Sizes vary about the means measured on real keyframes of nuScenes (truck 5.9 x 2.3 x 2.8 m, bus
10.3 x 2.8 x 3.3, trailer 14 x 2.3 x 3.9).
"""

import numpy as np

from olivine.data.datasets.synthetic.world.cars import (
    DARK,
    WINDOW,
    lights_and_plates,
    paint,
    pickup,
    wheels,
)
from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.mesh import Mesh, box, cylinder, hull, join, quads


def truck(rng: np.random.Generator) -> Mesh:
    """Return a pick-up, a box truck, a tipper or a tractor unit."""
    style = rng.choice(["pickup", "box", "tipper", "tractor"], p=[0.2, 0.45, 0.2, 0.15])
    if style == "pickup":
        return pickup(rng)
    half, colour = rng.uniform(1.05, 1.22), paint(rng)
    length = {"box": 7.0, "tipper": 7.4, "tractor": 5.6}[style] * rng.uniform(0.88, 1.15)
    parts = _truck_cab(length / 2, half, colour, rng.uniform(2.3, 2.9))
    parts.append(box((length - 0.3, half * 1.2, 0.3), (0, 0, 0.75), Material.METAL, DARK))
    bed = length - 2.1
    at = -length / 2 + bed / 2
    cargo = paint(rng)
    if style == "box":
        height = rng.uniform(1.9, 2.5)
        parts.append(
            box((bed, half * 2.08, height), (at, 0, 0.95 + height / 2), Material.PAINT, cargo)
        )
    elif style == "tipper":
        height = rng.uniform(0.9, 1.3)
        parts.append(
            box(
                (bed, half * 2, height),
                (at, 0, 0.95 + height / 2),
                Material.PAINT,
                cargo,
                (1.05, 1.06),
            )
        )
        parts.append(_load(rng, bed, half, at, 0.95 + height))
    parts += wheels(
        (length / 2 - 0.9, -length / 2 + 1.1, -length / 2 + 2.2), half - 0.05, 0.5, 0.35
    )
    return join(parts)


def _truck_cab(nose: float, half: float, colour: np.ndarray, height: float) -> list[Mesh]:
    cab = hull(
        [
            (nose, half * 0.94, 0.4, height * 0.55, 0.98),
            (nose - 0.12, half, 0.4, height * 0.9, 0.95),
            (nose - 0.5, half, 0.4, height, 0.94),
            (nose - 1.8, half, 0.4, height, 0.94),
        ],
        Material.PAINT,
        colour,
    )
    y, top, low = half * 0.84, height * 0.88, height * 0.58
    glass = [
        [(nose + 0.02, -y, low), (nose + 0.02, y, low), (nose - 0.1, y, top), (nose - 0.1, -y, top)]
    ]
    for side in (-1, 1):
        y = side * (half + 0.015)
        glass.append(
            [
                (nose - 1.3, y, low),
                (nose - 0.35, y, low),
                (nose - 0.5, y * 0.97, top),
                (nose - 1.3, y * 0.97, top),
            ]
        )
    mirrors = [
        box((0.1, 0.2, 0.4), (nose - 0.2, side * (half + 0.15), low + 0.2), Material.PLASTIC, DARK)
        for side in (-1, 1)
    ]
    return [
        cab,
        quads(np.array(glass), Material.GLASS, WINDOW),
        *mirrors,
        *lights_and_plates(nose, half, 1.1),
    ]


def _load(rng: np.random.Generator, bed: float, half: float, at: float, top: float) -> Mesh:
    """Return the heap of earth on a tipper."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 7), np.linspace(-0.5, 0.5, 5), indexing="ij")
    z = 0.6 * np.cos(np.pi * x) * np.cos(np.pi * y) * rng.uniform(0.5, 1.1, x.shape)
    points = np.stack([at + x * bed * 0.97, y * half * 1.95, top - 0.1 + z], axis=-1)
    cells = [points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]]
    return quads(np.stack(cells, axis=2), Material.SOIL, (0.16, 0.11, 0.07))


def trailer(rng: np.random.Generator) -> Mesh:
    """Return a semi-trailer without its tractor: box, curtain, container or flatbed."""
    length, half = rng.uniform(9.5, 13.5), rng.uniform(1.2, 1.28)
    style = rng.choice(["box", "container", "flatbed"], p=[0.5, 0.3, 0.2])
    colour = paint(rng)
    parts = [box((length, half * 1.5, 0.25), (0, 0, 1.1), Material.METAL, DARK)]
    if style == "flatbed":
        parts.append(box((length, half * 2, 0.12), (0, 0, 1.28), Material.WOOD, (0.2, 0.14, 0.09)))
        for x in rng.uniform(-0.4, 0.4, 3) * length:
            size = rng.uniform((1.2, 1.4, 0.5), (2.6, 2.2, 1.5))
            parts.append(box(size, (x, 0, 1.34 + size[2] / 2), Material.WOOD, paint(rng)))
    else:
        height = rng.uniform(2.5, 2.8)
        parts.append(
            box((length, half * 2, height), (0, 0, 1.22 + height / 2), Material.PAINT, colour)
        )
        ribs = np.linspace(-0.47, 0.47, 14) * length
        for x in ribs if style == "container" else ribs[::6]:
            parts.append(
                box(
                    (0.08, half * 2.06, height),
                    (x, 0, 1.22 + height / 2),
                    Material.PAINT,
                    colour * 0.8,
                )
            )
    axles = wheels(
        tuple(-length / 2 + offset for offset in (1.0, 2.3, 3.6)), half - 0.05, 0.5, 0.35
    )
    legs = [
        cylinder(
            (length / 2 - 2.5, side * 0.8, 0),
            (length / 2 - 2.5, side * 0.8, 1.1),
            (0.08, 0.08),
            Material.METAL,
            DARK,
            num_sides=5,
        )
        for side in (-1, 1)
    ]
    return join([*parts, *axles, *legs])


def bus(rng: np.random.Generator, bendy: bool = False) -> Mesh:
    """Return a single- or double-decker of 10 to 12 m, or the front and rear of a bendy bus."""
    length, half = rng.uniform(9.5, 12.0), rng.uniform(1.25, 1.32)
    tall = not bendy and rng.random() < 0.25
    height = rng.uniform(4.1, 4.3) if tall else rng.uniform(2.95, 3.25)
    front = _bus_body(rng, length, half, height, paint(rng))
    if not bendy:
        return front
    rear = _bus_body(rng, length * 0.6, half, height, front.colour[0]).moved((-length * 0.83, 0, 0))
    joint = box(
        (0.6, half * 1.85, height - 0.5),
        (-length * 0.515, 0, height / 2 + 0.1),
        Material.RUBBER,
        DARK,
    )
    return join([front, joint, rear]).moved((length * 0.3, 0, 0))


def _bus_body(
    rng: np.random.Generator, length: float, half: float, height: float, colour: np.ndarray
) -> Mesh:
    nose = length / 2
    body = hull(
        [
            (nose, half * 0.93, 0.35, height * 0.93, 0.95), (nose - 0.25, half, 0.3, height, 0.96),
            (-nose + 0.2, half, 0.3, height, 0.96), (-nose, half * 0.95, 0.4, height * 0.96, 0.95),
        ],
        Material.PAINT, colour,
    )  # fmt: skip
    panes = []
    for low in np.arange(1.05, height - 1.2, 1.75):
        for side in (-1, 1):
            y = side * (half + 0.02)
            for x in np.arange(-nose + 0.4, nose - 1.2, 1.35):
                panes.append(
                    [(x, y, low), (x + 1.25, y, low), (x + 1.25, y, low + 0.95), (x, y, low + 0.95)]
                )
        y = half * 0.86
        x = nose + 0.015
        panes.append(
            [
                (x, -y, low - 0.1),
                (x, y, low - 0.1),
                (x - 0.1, y, low + 1.1),
                (x - 0.1, -y, low + 1.1),
            ]
        )
    parts = [body, quads(np.array(panes), Material.GLASS, WINDOW)]
    band = box((length * 0.98, half * 2.01, 0.25), (0, 0, 0.62), Material.PAINT, paint(rng))
    parts += [band, *wheels((nose - 2.3, -nose + 2.8), half - 0.08, 0.48, 0.3)]
    return join([*parts, *lights_and_plates(nose, half, 1.0)])


def excavator(rng: np.random.Generator) -> Mesh:
    """Return a tracked excavator or a wheel loader; bodies are yellow, orange, red or white."""
    colours = ((0.62, 0.36, 0.02), (0.60, 0.17, 0.02), (0.40, 0.03, 0.02), (0.6, 0.6, 0.57))
    colour = np.array(colours[rng.choice(4, p=[0.55, 0.2, 0.1, 0.15])]) * rng.uniform(0.6, 1.1)
    size = rng.uniform(0.75, 1.1)
    parts = []
    for side in (-1, 1):
        track = [
            (1.9, 0.25, 0.2, 0.7, 1),
            (1.5, 0.25, 0.0, 0.9, 1),
            (-1.5, 0.25, 0.0, 0.9, 1),
            (-1.9, 0.25, 0.2, 0.7, 1),
        ]
        parts.append(hull(track, Material.RUBBER, (0.05, 0.045, 0.04)).moved((0, side * 1.1, 0)))
    house = [
        box((2.9, 2.5, 1.0), (-0.6, 0, 1.6), Material.PAINT, colour, (0.95, 0.95)),
        box((1.5, 1.1, 1.5), (0.35, 0.7, 2.6), Material.GLASS, WINDOW, (0.9, 0.9)),
        box((1.5, 1.1, 0.1), (0.35, 0.7, 3.4), Material.PAINT, colour),
        box((0.9, 2.3, 0.6), (-1.6, 0, 2.3), Material.PAINT, colour * 0.9),
    ]
    lift, bend = rng.uniform(0.5, 1.0), rng.uniform(-1.4, -0.7)
    shoulder = np.array([0.9, -0.3, 1.9])
    elbow = shoulder + 3.2 * np.array([np.cos(lift), 0, np.sin(lift)])
    wrist = elbow + 2.3 * np.array([np.cos(bend), 0, np.sin(bend)])
    for start, end, thick in ((shoulder, elbow, 0.28), (elbow, wrist, 0.2)):
        parts.append(
            cylinder(start, end, (thick, thick * 0.7), Material.PAINT, colour, num_sides=4)
        )
    bucket = box(
        (0.8, 1.1, 0.7), wrist + np.array([0.1, 0, -0.3]), Material.METAL, (0.1, 0.1, 0.1), (0.6, 1)
    )
    turned = join([*house, *parts[2:], bucket]).moved(yaw=rng.uniform(-0.7, 0.7))
    return join([*parts[:2], turned]).moved(scale=size)
