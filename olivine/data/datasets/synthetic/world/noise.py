"""Smooth random fields, tiled and looked up: the grain of every texture."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

_TILE = 512


@lru_cache(maxsize=1)
def _tile() -> Float[np.ndarray, "512 512"]:
    """Return a periodic field in 0..1: six octaves of interpolated random values, equalised."""
    rng = np.random.default_rng(20231)
    total = np.zeros((_TILE, _TILE))
    for octave in range(2, 9):
        cells = 2**octave
        coarse = rng.normal(size=(cells, cells)) * 0.62**octave
        total += _enlarge(coarse, _TILE // cells)
    ranks = np.empty(total.size)
    ranks[np.argsort(total, axis=None)] = np.arange(total.size)
    return (ranks / total.size).reshape(total.shape).astype(np.float32)


def _enlarge(coarse: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge a periodic field by smooth (cosine) interpolation along both axes."""
    weight = (1 - np.cos(np.pi * np.arange(factor) / factor)) / 2
    for axis in (0, 1):
        following = np.roll(coarse, -1, axis=axis)
        stacked = np.stack(
            [coarse * (1 - w) + following * w for w in weight], axis=axis + 1
        )  # fmt: skip
        shape = list(coarse.shape)
        shape[axis] *= factor
        coarse = stacked.reshape(shape)
    return coarse


def fractal(u: np.ndarray | float, v: np.ndarray | float) -> Float[np.ndarray, "*shape"]:
    """Return noise in 0..1 with period 1 in u and v, interpolated bilinearly."""
    tile = _tile()
    x, y = np.asarray(u, np.float32) * _TILE, np.asarray(v, np.float32) * _TILE
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    i, j = x0.astype(np.int32) % _TILE, y0.astype(np.int32) % _TILE
    i1, j1 = (i + 1) % _TILE, (j + 1) % _TILE
    low = tile[i, j] * (1 - fx) + tile[i1, j] * fx
    high = tile[i, j1] * (1 - fx) + tile[i1, j1] * fx
    return np.asarray(low * (1 - fy) + high * fy)


def grain(u: np.ndarray | float, v: np.ndarray | float) -> Float[np.ndarray, "*shape"]:
    """Return `fractal` without interpolation: for detail near a pixel's size."""
    i = (np.asarray(u, np.float32) * _TILE).astype(np.int32) % _TILE
    j = (np.asarray(v, np.float32) * _TILE).astype(np.int32) % _TILE
    return np.asarray(_tile()[i, j])


def speckle(u: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "*shape"]:
    """Return unrelated values in 0..1 for cells of unit size: floor(u), floor(v)."""
    tile = _tile()
    i = (np.floor(u).astype(np.int32) * 73 + 11) % _TILE
    j = (np.floor(v).astype(np.int32) * 151 + 29) % _TILE
    return np.asarray(tile[i, j])
