"""Colours of surfaces: procedural patterns per material, evaluated once per image."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from olivine.data.datasets.synthetic.sensors.tracing import Hits
from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.noise import fractal, grain, speckle
from olivine.data.datasets.synthetic.world.street import Street

# A pattern's inputs per pixel: position on the surface in metres, number of the body, and the share
# of the fine grain that a pixel resolves (0..1).
Pattern = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def albedo(
    street: Street, hits: Hits, rows: np.ndarray, sharpness: Float[np.ndarray, " R"]
) -> Float[np.ndarray, "R 3"]:
    """Return linear reflectance at some hits; `sharpness` fades detail finer than a pixel."""
    material, uv_m = hits.material[rows], hits.uv_m[rows]
    body = hits.body[rows].astype(np.float32)
    result = hits.colour[rows]
    for kind, pattern in _PATTERNS.items():
        own = np.nonzero(material == kind)[0]
        if len(own):
            u, v = uv_m[own, 0], uv_m[own, 1]
            result[own] *= pattern(u, v, body[own], sharpness[own])
    _paint_lines(result, street, material, uv_m)
    return result.clip(0.005, 0.95)


def _paint_lines(
    result: np.ndarray, street: Street, material: np.ndarray, uv_m: np.ndarray
) -> None:
    rows = np.nonzero(material == Material.ASPHALT)[0]
    line = street.line(uv_m[rows, 0], uv_m[rows, 1])
    worn = fractal(uv_m[rows, 0] / 9, uv_m[rows, 1] / 9) < 0.8
    for value, paint in ((1, (0.55, 0.55, 0.53)), (2, (0.5, 0.36, 0.06))):
        chosen = rows[(line == value) & worn]
        result[chosen] = 0.2 * result[chosen] + 0.8 * np.array(paint, np.float32)


def _grain(
    u: np.ndarray, v: np.ndarray, fine: np.ndarray, amount: float, size: float
) -> np.ndarray:
    """Return brightness about 1: broad patches, and grain that fades in coarse pixels."""
    broad = fractal(u / (60 * size), v / (60 * size)) - 0.5
    detail = grain(u / (5 * size) + 0.31, v / (5 * size)) - 0.5
    return 1 + amount * (broad + detail * (0.3 + 0.7 * fine))


def _asphalt(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    value = _grain(u, v, fine, 0.5, 1.0)
    patched = fractal(u / 90 + 0.6, v / 45) > 0.72  # mended places
    crack = np.abs(fractal(u / 30, v / 30) - 0.5) < 0.012 * fine
    return (value * np.where(patched, 0.78, 1.0) * np.where(crack, 0.6, 1.0))[:, None]


def _paving(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    joint = ((u % 0.9 < 0.05) | (v % 0.6 < 0.05)) & (fine > 0.25)
    slab = 0.88 + 0.24 * speckle(u / 0.9, v / 0.6)
    value = _grain(u, v, fine, 0.35, 0.7) * (1 + (slab - 1) * fine)
    return (value * np.where(joint, 0.7, 1.0))[:, None]


def _concrete(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    joint = ((u % 4.0 < 0.05) | (v % 4.0 < 0.05)) & (fine > 0.25)
    return (_grain(u, v, fine, 0.45, 0.8) * np.where(joint, 0.75, 1.0))[:, None]


def _grass(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    value = _grain(u, v, fine, 0.9, 0.45)[:, None]
    dry = fractal(u / 50 + 0.2, v / 50 + 0.7)[:, None]
    straw = np.array([1.9, 1.35, 1.5], np.float32)
    return value * np.where(dry > 0.62, 1 + (straw - 1) * np.minimum((dry - 0.62) * 6, 1), 1.0)


def _soil(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    return _grain(u, v, fine, 0.85, 0.6)[:, None]


def _leaves(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    value = _grain(u + 0.7 * body, v, fine, 1.2, 0.12)
    return value[:, None]


def _facade(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Return rows of windows whose spacing, size and blinds differ between buildings."""
    wide = 1.8 + 2.0 * speckle(body * 3.0, body * 0.0 + 1)
    tall = 2.8 + 0.8 * speckle(body * 3.0, body * 0.0 + 2)
    share = 0.38 + 0.4 * speckle(body * 3.0, body * 0.0 + 3)
    x, y = (u / wide) % 1, (v / tall) % 1
    pane = (np.abs(x - 0.5) < share / 2) & (y > 0.3) & (y < 0.8)
    lit = speckle(u / wide + 31 * body, v / tall)
    frame = pane & ((np.abs(x - 0.5) > share / 2 - 0.03) | (np.abs(x - 0.5) < 0.012)) & (fine > 0.2)
    glass = np.where(lit > 0.8, 0.9, 0.12 + 0.25 * lit)
    value = np.where(pane, np.where(frame, 1.3, glass), _grain(u, v, fine, 0.25, 1.5))
    return value[:, None]


def _brick(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    row = np.floor(v / 0.15)
    mortar = ((v % 0.15 < 0.025) | ((u + 0.15 * (row % 2)) % 0.3 < 0.025)) & (fine > 0.5)
    stone = 0.8 + 0.4 * speckle(u / 0.3 + 0.5 * (row % 2), row + 0.5)
    value = (1 + (stone - 1) * fine) * _grain(u, v, fine, 0.3, 1.2)
    x, y = (u / 2.6) % 1, (v / 3.0) % 1
    pane = (np.abs(x - 0.5) < 0.22) & (np.abs(y - 0.55) < 0.25) & (v > 0.4)
    return np.where(pane, 0.3, np.where(mortar, 1.5, value))[:, None]


def _plaster(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    stain = 1 - 0.25 * np.maximum(fractal(u / 12 + 0.1 * body, v / 40) - 0.6, 0) / 0.4
    return (_grain(u, v, fine, 0.3, 1.0) * stain)[:, None]


def _shops(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Return shop windows with goods behind them, between piers."""
    x = (u / 3.8) % 1
    pane = (x > 0.1) & (x < 0.92) & (v > 0.45) & (v < 2.7)
    goods = fractal(u / 6 + 0.13 * body, v / 4) ** 2
    tint = np.stack([speckle(u / 0.7, v / 0.6 + k) for k in range(3)], axis=1)
    inside = (0.08 + 0.5 * goods)[:, None] * (0.5 + tint)
    return np.where(pane[:, None], inside, _grain(u, v, fine, 0.3, 1.0)[:, None])


def _paint(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    dirt = fractal(u / 7 + 0.17 * body, v / 7)
    return (1 - 0.22 * dirt)[:, None]


def _stripes(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    white = ((u + v) % 0.5 < 0.25)[:, None]
    return np.where(white, np.array([1.1, 8.0, 16.0], np.float32), 1.0)


def _wood(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    return (0.75 + 0.5 * fractal(u / 0.8, v / 12 + 0.1 * body))[:, None]


def _bark(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    return (0.6 + 0.8 * fractal(u / 1.5, v / 8))[:, None]


def _cloth(u: np.ndarray, v: np.ndarray, body: np.ndarray, fine: np.ndarray) -> np.ndarray:
    return (0.75 + 0.5 * fractal(u / 1.2 + 0.1 * body, v / 1.2))[:, None]


_PATTERNS: dict[Material, Pattern] = {
    Material.ASPHALT: _asphalt,
    Material.PAVING: _paving,
    Material.CONCRETE: _concrete,
    Material.GRASS: _grass,
    Material.SOIL: _soil,
    Material.LEAVES: _leaves,
    Material.FACADE: _facade,
    Material.BRICK: _brick,
    Material.PLASTER: _plaster,
    Material.SHOPS: _shops,
    Material.PAINT: _paint,
    Material.STRIPES: _stripes,
    Material.WOOD: _wood,
    Material.BARK: _bark,
    Material.CLOTH: _cloth,
}
