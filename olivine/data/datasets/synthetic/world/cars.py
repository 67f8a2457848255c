"""Cars and pick-ups, each one different, and the parts that all vehicles share.

Sizes vary about the mean measured on real keyframes of nuScenes: 4.56 x 1.86 x 1.67 m.
"""

from dataclasses import dataclass

import numpy as np

from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.mesh import Mesh, box, cylinder, hull, join

DARK = (0.02, 0.02, 0.025)
WINDOW = (0.025, 0.03, 0.035)
# Linear colours of paint and how often they are seen: white, black, greys, silver, blue, red,
# green, brown, yellow.
_PAINTS = np.array(
    [
        [0.75, 0.75, 0.73], [0.02, 0.02, 0.02], [0.12, 0.12, 0.13], [0.28, 0.28, 0.28],
        [0.45, 0.46, 0.47], [0.03, 0.07, 0.25], [0.35, 0.02, 0.02], [0.05, 0.14, 0.05],
        [0.16, 0.10, 0.06], [0.60, 0.40, 0.03],
    ]
)  # fmt: skip
_HOW_OFTEN = np.array([0.22, 0.16, 0.13, 0.10, 0.13, 0.09, 0.07, 0.04, 0.03, 0.03])


@dataclass(frozen=True)
class _Style:
    """Proportions of a car, metres; the cabin's stations count from the nose."""

    length: float
    height: float
    waist: float
    sill: float
    windscreen: float
    roof: float
    roof_end: float  # from the tail
    glass_end: float  # from the tail


_STYLES = {
    "hatchback": _Style(4.0, 1.5, 0.88, 0.2, 0.95, 1.6, 0.45, 0.08),
    "saloon": _Style(4.7, 1.45, 0.86, 0.2, 1.15, 1.95, 1.35, 0.7),
    "estate": _Style(4.7, 1.5, 0.88, 0.2, 1.15, 1.9, 0.5, 0.12),
    "suv": _Style(4.6, 1.75, 1.02, 0.3, 1.1, 1.75, 0.4, 0.1),
    "van": _Style(4.9, 1.95, 1.05, 0.25, 0.55, 1.4, 0.2, 0.06),
}


def paint(rng: np.random.Generator) -> np.ndarray:
    """Return the colour of a vehicle's body."""
    base = _PAINTS[rng.choice(len(_PAINTS), p=_HOW_OFTEN)]
    return np.clip(base * rng.uniform(0.7, 1.3) + rng.uniform(-0.01, 0.02, 3), 0.01, 0.9)


def car(rng: np.random.Generator) -> Mesh:
    """Return a hatchback, saloon, estate, off-roader or van."""
    style = _STYLES[rng.choice(list(_STYLES), p=[0.25, 0.3, 0.1, 0.2, 0.15])]
    nose = style.length / 2 * rng.uniform(0.93, 1.07)
    half, colour = rng.uniform(0.86, 0.97), paint(rng)
    sill, waist = style.sill, style.waist
    body = hull(
        [
            (nose, half * 0.78, sill + 0.12, waist * 0.72, 0.9),
            (nose - 0.25, half * 0.97, sill, waist * 0.84, 0.95),
            (nose - style.windscreen, half, sill, waist, 0.95),
            (-nose + 0.5, half, sill, waist + 0.04, 0.95),
            (-nose, half * 0.86, sill + 0.14, waist * 0.95, 0.92),
        ],
        Material.PAINT,
        colour,
    )
    height = style.height * rng.uniform(0.95, 1.06)
    parts = [body, *_cabin(style, nose, half, height, colour)]
    parts += wheels((nose * 0.62, -nose * 0.6), half - 0.1, 0.33 + 0.05 * (sill > 0.25), 0.22)
    parts += lights_and_plates(nose, half, waist)
    return join(parts)


def _cabin(
    style: _Style, nose: float, half: float, height: float, colour: np.ndarray
) -> list[Mesh]:
    """Glass from the waist up, a painted roof and the pillars that carry it."""
    low, base = style.waist - 0.06, nose - style.windscreen
    front, rear = nose - style.roof, -nose + style.roof_end
    glass = hull(
        [
            (base, half * 0.9, low, style.waist + 0.03, 0.95),
            (front, half * 0.94, low, height, 0.8),
            (rear, half * 0.94, low, height - 0.03, 0.8),
            (-nose + style.glass_end, half * 0.88, low, style.waist + 0.05, 0.95),
        ],
        Material.GLASS,
        WINDOW,
    )
    middle, span = (front + rear) / 2, front - rear
    roof = box(
        (span + 0.1, half * 1.42, 0.05), (middle, 0, height), Material.PAINT, colour, (0.9, 0.9)
    )
    parts = [glass, roof]
    for x in (middle - 0.08 * span, rear + 0.05):
        for side in (-1, 1):
            foot, head = (x, side * half * 0.93, low), (x, side * half * 0.76, height)
            parts.append(cylinder(foot, head, (0.07, 0.06), Material.PAINT, colour, num_sides=4))
    return parts


def wheels(xs: tuple[float, ...], half: float, radius: float, width: float) -> list[Mesh]:
    """Return a pair of wheels at each x; `half` is the outer side of the tyres."""
    inner, outer, cap = (0, half - width, 0), (0, half + 0.08, 0), (0, half + 0.1, 0)
    wheel = join(
        [
            cylinder(inner, outer, (radius, radius), Material.RUBBER, DARK, num_sides=10),
            cylinder(
                outer,
                cap,
                (radius * 0.6, radius * 0.5),
                Material.METAL,
                (0.3, 0.3, 0.31),
                num_sides=6,
            ),
        ]
    )
    return [wheel.moved((x, 0, radius), scale=(1, side, 1)) for x in xs for side in (-1, 1)]


def lights_and_plates(nose: float, half: float, waist: float) -> list[Mesh]:
    """Return lamps and number plates of both ends, at x = nose and x = -nose."""
    parts = []
    for end, colour in ((1, (0.8, 0.8, 0.75)), (-1, (0.45, 0.02, 0.02))):
        for side in (-1, 1):
            at = (end * (nose - 0.05), side * half * 0.62, waist * 0.68)
            parts.append(box((0.14, 0.3, 0.13), at, Material.LAMP, colour))
        plate = (end * (nose + 0.005), 0, waist * 0.5)
        parts.append(box((0.03, 0.48, 0.12), plate, Material.SIGN, (0.6, 0.6, 0.5)))
    return parts


def pickup(rng: np.random.Generator) -> Mesh:
    """Return a pick-up, which nuScenes counts among trucks."""
    half, nose, colour = rng.uniform(0.92, 1.02), rng.uniform(2.5, 2.8), paint(rng)
    body = hull(
        [
            (nose, half * 0.85, 0.5, 0.9, 0.95), (nose - 0.3, half, 0.42, 1.05, 0.95),
            (nose - 1.3, half, 0.42, 1.12, 0.95), (-nose, half, 0.5, 1.12, 0.98),
        ],
        Material.PAINT, colour,
    )  # fmt: skip
    style = _Style(2 * nose, 1.85, 1.12, 0.4, 1.35, 2.0, nose * 0.75, nose * 0.62)
    parts = [body, *_cabin(style, nose, half, rng.uniform(1.8, 1.95), colour)]
    bed = box((nose * 0.85, half * 1.6, 0.02), (-nose * 0.52, 0, 1.13), Material.PLASTIC, DARK)
    parts += [bed, *wheels((nose * 0.62, -nose * 0.6), half - 0.1, 0.4, 0.26)]
    return join([*parts, *lights_and_plates(nose, half, 1.1)])
