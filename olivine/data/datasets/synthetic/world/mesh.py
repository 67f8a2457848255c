"""Triangle meshes with a material, a colour and metric texture coordinates on every triangle.

Object frames have x forward, y left, z up and their origin on the ground.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

Colour = tuple[float, float, float] | np.ndarray  # linear red, green, blue in 0..1
Number = float | int | np.floating
Point = Sequence[Number] | np.ndarray  # x, y, z in metres


@dataclass(frozen=True)
class Mesh:
    """Triangles; both sides of each are visible."""

    corners_m: Float[np.ndarray, "T 3 3"]
    uv_m: Float[np.ndarray, "T 3 2"]  # position on the surface, for textures
    material: UInt8[np.ndarray, " T"]
    colour: Float[np.ndarray, "T 3"]

    def __len__(self) -> int:
        return len(self.corners_m)

    def moved(
        self,
        translation_m: Point = (0.0, 0.0, 0.0),
        yaw: Number = 0.0,
        scale: Number | Point = 1.0,
        pitch: Number = 0.0,
    ) -> "Mesh":
        """Return the mesh scaled, pitched (nose down positive), rotated about z, then shifted."""
        c, s, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        tip = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        matrix = np.asarray((turn @ tip) * scale, np.float32)
        corners = self.corners_m @ matrix.T + np.asarray(translation_m, np.float32)
        return replace(self, corners_m=corners)

    def rows(self, picks: np.ndarray) -> "Mesh":
        """Return some of the triangles."""
        return Mesh(
            self.corners_m[picks], self.uv_m[picks], self.material[picks], self.colour[picks]
        )

    def tinted(self, factor: Colour) -> "Mesh":
        """Return the mesh with all colours multiplied."""
        return replace(self, colour=self.colour * np.asarray(factor, np.float32))


def join(meshes: Iterable[Mesh]) -> Mesh:
    """Return all triangles of all meshes."""
    parts = list(meshes)
    if not parts:
        empty = np.zeros((0, 3, 3), np.float32)
        return Mesh(empty, empty[..., :2], np.zeros(0, np.uint8), empty[:, 0])
    return Mesh(
        np.concatenate([part.corners_m for part in parts]),
        np.concatenate([part.uv_m for part in parts]),
        np.concatenate([part.material for part in parts]),
        np.concatenate([part.colour for part in parts]),
    )


def triangles(
    corners_m: np.ndarray, material: int, colour: Colour, uv_m: np.ndarray | None = None
) -> Mesh:
    """Return loose triangles (T, 3, 3); uv defaults to edge lengths of each triangle."""
    corners = np.asarray(corners_m, np.float32)
    if uv_m is None:
        uv_m = np.zeros((len(corners), 3, 2), np.float32)
        uv_m[:, 1, 0] = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
        uv_m[:, 2, 1] = np.linalg.norm(corners[:, 2] - corners[:, 0], axis=1)
    colours = np.broadcast_to(np.asarray(colour, np.float32), (len(corners), 3))
    return Mesh(corners, np.asarray(uv_m, np.float32), _full(len(corners), material), colours)


def quads(
    corners_m: np.ndarray, material: int, colour: Colour, uv_m: np.ndarray | None = None
) -> Mesh:
    """Return quads (Q, 4, 3) given round their border; uv defaults to metres from corner 0."""
    corners = np.asarray(corners_m, np.float32).reshape(-1, 4, 3)
    if uv_m is None:
        uv_m = np.zeros((len(corners), 4, 2), np.float32)
        uv_m[:, 1:3, 0] = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)[:, None]
        uv_m[:, 2:4, 1] = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)[:, None]
    pick = [[0, 1, 2], [0, 2, 3]]
    return triangles(
        corners[:, pick].reshape(-1, 3, 3), material, colour, uv_m[:, pick].reshape(-1, 3, 2)
    )


def box(
    size_m: Point,
    centre_m: Point,
    material: int,
    colour: Colour,
    top_scale: tuple[Number, Number] = (1.0, 1.0),
) -> Mesh:
    """Return a box, or with `top_scale` its upper face shrunk in x and y."""
    half = np.asarray(size_m, np.float32) / 2
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    low = np.concatenate([signs * half[:2], np.full((4, 1), -half[2])], axis=1)
    high = np.concatenate([signs * half[:2] * top_scale, np.full((4, 1), half[2])], axis=1)
    return loft(np.stack([low, high]) + np.asarray(centre_m, np.float32), material, colour)


def loft(rings_m: np.ndarray, material: int, colour: Colour) -> Mesh:
    """Return the skin through closed rings (R, P, 3), ends closed by fans."""
    rings = np.asarray(rings_m, np.float32)
    num_rings, num_points = rings.shape[:2]
    quad, fan = _loft_indices(num_rings, num_points)
    hubs = rings[[0, -1]].mean(axis=1)
    points = np.concatenate([rings.reshape(-1, 3), hubs])
    around, along = _loft_lengths(rings)
    uv = np.empty((num_rings, num_points + 1, 2), np.float32)
    uv[..., 0], uv[..., 1] = around, along[:, None]
    skin_uv = uv.reshape(-1, 2)[_loft_uv_indices(num_rings, num_points)]
    end = points[fan]
    corners = np.concatenate([points[quad], end])
    uv_m = np.concatenate([skin_uv, end[..., :2] - end[:1, :1, :2]])
    colours = np.empty((len(corners), 3), np.float32)
    colours[:] = colour
    return Mesh(corners, uv_m, _full(len(corners), material), colours)


def cylinder(
    start_m: Point,
    end_m: Point,
    radii_m: tuple[Number, Number],
    material: int,
    colour: Colour,
    *,
    num_sides: int = 8,
) -> Mesh:
    """Return a cylinder or a cone's frustum between two points."""
    start, end = np.asarray(start_m, float), np.asarray(end_m, float)
    axis = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    helper = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.9 else np.array([0, 1.0, 0])
    across = _cross(axis, helper)
    across /= np.sqrt(across @ across)
    circle = _circle(num_sides)[:, :1] * across + _circle(num_sides)[:, 1:] * _cross(axis, across)
    return loft(
        np.stack([start + circle * radii_m[0], end + circle * radii_m[1]]), material, colour
    )


def blob(
    radii_m: Point,
    centre_m: Point,
    material: int,
    colour: Colour,
    *,
    num_rings: int = 6,
    num_sides: int = 8,
    roughness: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Mesh:
    """Return an ellipsoid, its radius shaken by `roughness` (relative) at every vertex."""
    polar = np.linspace(0.08, np.pi - 0.08, num_rings)[:, None]
    around = np.linspace(0, 2 * np.pi, num_sides, endpoint=False)[None]
    unit = np.stack(
        [
            np.sin(polar) * np.cos(around),
            np.sin(polar) * np.sin(around),
            np.cos(polar) + 0 * around,
        ],
        axis=-1,
    )
    if rng is not None and roughness > 0:
        unit = unit * (1 + roughness * rng.uniform(-1, 1, (num_rings, num_sides, 1)))
    return loft(unit * np.asarray(radii_m) + np.asarray(centre_m), material, colour)


def hull(stations: Sequence[Sequence[Number]], material: int, colour: Colour) -> Mesh:
    """Return a vehicle's body through stations (x, half width, z low, z high, top width ratio).

    Each station is an octagon: a rectangle whose upper and lower edges are bevelled.
    """
    rings = []
    for x, half, low, high, top in stations:
        bevel = 0.18 * (high - low)
        upper = half * top
        profile = [
            (half * 0.93, low), (half, low + bevel), (half * 0.4 + upper * 0.6, high - bevel),
            (upper * 0.88, high), (-upper * 0.88, high), (-half * 0.4 - upper * 0.6, high - bevel),
            (-half, low + bevel), (-half * 0.93, low),
        ]  # fmt: skip
        rings.append([(x, y, z) for y, z in profile])
    return loft(np.array(rings), material, colour)


def _loft_lengths(rings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres round the widest ring (P + 1 values) and along the axis (R values)."""
    step = np.empty_like(rings)
    step[:, :-1], step[:, -1] = rings[:, 1:] - rings[:, :-1], rings[:, 0] - rings[:, -1]
    around = np.zeros(rings.shape[1] + 1, np.float32)
    np.cumsum(np.sqrt((step * step).sum(axis=-1)).max(axis=0), out=around[1:])
    rise = rings[1:] - rings[:-1]
    along = np.zeros(len(rings), np.float32)
    np.cumsum(np.sqrt((rise * rise).sum(axis=-1)).max(axis=1), out=along[1:])
    return around, along


@lru_cache(maxsize=256)
def _loft_indices(num_rings: int, num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (T, 3) of the skin and of both ends' fans, into rings' points and two hubs."""
    ring, point = np.mgrid[: num_rings - 1, :num_points]
    after = (point + 1) % num_points
    low, low_after = ring * num_points + point, ring * num_points + after
    high, high_after = low + num_points, low_after + num_points
    skin = np.stack([low, low_after, high_after, low, high_after, high], axis=-1)
    first = np.arange(num_points)
    hub = num_rings * num_points
    fans = [
        np.stack([np.full(num_points, hub + end), first + base, (first + 1) % num_points + base], 1)
        for end, base in enumerate((0, (num_rings - 1) * num_points))
    ]
    return skin.reshape(-1, 3), np.concatenate(fans)


@lru_cache(maxsize=256)
def _loft_uv_indices(num_rings: int, num_points: int) -> np.ndarray:
    """The skin's triangles into a grid of R by P + 1 texture coordinates."""
    ring, point = np.mgrid[: num_rings - 1, :num_points]
    low = ring * (num_points + 1) + point
    high = low + num_points + 1
    return np.stack([low, low + 1, high + 1, low, high + 1, high], axis=-1).reshape(-1, 3)


@lru_cache(maxsize=32)
def _circle(num_sides: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, num_sides, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of two vectors, without numpy.cross's overhead."""
    return np.array(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


def _full(count: int, material: int) -> np.ndarray:
    return np.full(count, material, np.uint8)
