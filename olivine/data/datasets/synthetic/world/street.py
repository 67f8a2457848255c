"""A street's ground: its kinds, its heights, its painted lines, and its mesh.

Positions are (s, t): metres along the centre line and to its left. The centre line is an arc, so
one function maps (s, t) to the scene's frame, whose origin is the start of the recording.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float, UInt8

from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.mesh import Mesh, quads
from olivine.data.datasets.synthetic.world.noise import fractal
from olivine.data.datasets.synthetic.world.taxonomy import Category

CELL_M = (1.0, 0.5)  # of the ground map, along s and t
LINE_CELL_M = 0.1  # of the map of painted lines
RUN_CELLS = 6  # longest quad along s


class Ground(IntEnum):
    """Kinds of ground."""

    ROAD = 0
    LOT = 1  # car parks, yards, drives: driveable too
    SIDEWALK = 2
    PLAZA = 3  # sidewalk of poured concrete
    GRASS = 4
    SOIL = 5
    ISLAND = 6  # raised traffic islands and medians: flat.other
    GRAVEL = 7  # tram beds and drains: flat.other


# Category, material, height, unevenness (m), linear colour.
_KINDS: dict[Ground, tuple[Category, Material, float, float, tuple[float, float, float]]] = {
    Ground.ROAD: (Category.ROAD, Material.ASPHALT, 0.0, 0.01, (0.10, 0.10, 0.105)),
    Ground.LOT: (Category.ROAD, Material.ASPHALT, 0.02, 0.02, (0.17, 0.165, 0.16)),
    Ground.SIDEWALK: (Category.SIDEWALK, Material.PAVING, 0.14, 0.015, (0.26, 0.25, 0.235)),
    Ground.PLAZA: (Category.SIDEWALK, Material.CONCRETE, 0.14, 0.01, (0.24, 0.23, 0.22)),
    Ground.GRASS: (Category.TERRAIN, Material.GRASS, 0.17, 0.12, (0.09, 0.13, 0.035)),
    Ground.SOIL: (Category.TERRAIN, Material.SOIL, 0.12, 0.18, (0.17, 0.12, 0.08)),
    Ground.ISLAND: (Category.OTHER_FLAT, Material.CONCRETE, 0.16, 0.01, (0.22, 0.22, 0.21)),
    Ground.GRAVEL: (Category.OTHER_FLAT, Material.SOIL, 0.03, 0.03, (0.19, 0.17, 0.15)),
}


@dataclass(frozen=True)
class Street:
    """The ground of one scene. `kinds` and `lines` are painted before the street is used."""

    curvature: float  # 1/m, positive turns left; never exactly zero
    heading: float  # of the centre line at s = 0, in the scene's frame
    s_range_m: tuple[float, float]
    t_range_m: tuple[float, float]
    kinds: UInt8[np.ndarray, "s t"]
    lines: UInt8[np.ndarray, "line_s line_t"]  # 0 bare, 1 white, 2 yellow
    undulation_m: float

    def xy(self, s: np.ndarray | float, t: np.ndarray | float) -> Float[np.ndarray, "*shape 2"]:
        """Return positions in the scene's frame."""
        s, t = np.broadcast_arrays(np.asarray(s, float), np.asarray(t, float))
        bend, radius = self.curvature * s, 1 / self.curvature
        x = (radius - t) * np.sin(bend)
        y = radius - (radius - t) * np.cos(bend)
        c, d = np.cos(self.heading), np.sin(self.heading)
        return np.stack([c * x - d * y, d * x + c * y], axis=-1)

    def st(self, xy_m: Float[np.ndarray, "*shape 2"]) -> Float[np.ndarray, "*shape 2"]:
        """Return (s, t) of positions, the inverse of `xy`."""
        c, d, radius = np.cos(self.heading), np.sin(self.heading), 1 / self.curvature
        x = c * xy_m[..., 0] + d * xy_m[..., 1]
        y = -d * xy_m[..., 0] + c * xy_m[..., 1]
        sign = np.sign(radius)
        bend = np.arctan2(sign * x, sign * (radius - y))
        return np.stack([bend * radius, radius - sign * np.hypot(x, radius - y)], axis=-1)

    def yaw(self, s: float) -> float:
        """Return the direction of travel at s."""
        return self.heading + self.curvature * s

    def kind(self, s: np.ndarray | float, t: np.ndarray | float) -> UInt8[np.ndarray, "*shape"]:
        """Return the kind of ground at positions, the nearest one outside the map."""
        i = np.floor((np.asarray(s) - self.s_range_m[0]) / CELL_M[0]).astype(int)
        j = np.floor((np.asarray(t) - self.t_range_m[0]) / CELL_M[1]).astype(int)
        rows, columns = self.kinds.shape
        return np.asarray(self.kinds[np.clip(i, 0, rows - 1), np.clip(j, 0, columns - 1)])

    def line(self, s: np.ndarray, t: np.ndarray) -> UInt8[np.ndarray, "*shape"]:
        """Return the paint at positions."""
        rows, columns = self.lines.shape
        i = ((s - self.s_range_m[0]) / LINE_CELL_M).astype(int)
        j = (t / LINE_CELL_M + columns / 2).astype(int)
        inside = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
        return np.where(inside, self.lines[i.clip(0, rows - 1), j.clip(0, columns - 1)], 0)

    def height(
        self, s: np.ndarray | float, t: np.ndarray | float, kind: np.ndarray | int | None = None
    ) -> Float[np.ndarray, "*shape"]:
        """Return the ground's height at positions, or that of one kind of ground if it is given."""
        s, t = np.broadcast_arrays(np.asarray(s, float), np.asarray(t, float))
        kind = self.kind(s, t) if kind is None else np.asarray(kind)
        level = np.array([row[2] for row in _KINDS.values()])[kind]
        rough = np.array([row[3] for row in _KINDS.values()])[kind]
        far = np.clip((np.abs(t) - 15) / 25, 0, 2)  # gardens and parks rise and fall more
        bumps = (fractal(s / 40, t / 40) - 0.5) * 2 * rough * (1 + 3 * far)
        waves = (fractal(s / 300 + 0.37, t / 300) - 0.5) * 2 * self.undulation_m
        return np.asarray(level + bumps + waves)

    def paint(
        self, s: tuple[float, float], t: tuple[float, float], kind: Ground, over: tuple = ()
    ) -> None:
        """Lay one kind of ground on a rectangle, or only over some kinds."""
        i0, i1 = (round((x - self.s_range_m[0]) / CELL_M[0]) for x in s)
        j0, j1 = (round((x - self.t_range_m[0]) / CELL_M[1]) for x in sorted(t))
        window = self.kinds[max(i0, 0) : max(i1, 0), max(j0, 0) : max(j1, 0)]
        window[np.isin(window, over) if over else slice(None)] = kind

    def draw(self, s: tuple[float, float], t: tuple[float, float], colour: int = 1) -> None:
        """Paint a line or a bar, given as a rectangle."""
        middle = self.lines.shape[1] // 2
        i0, i1 = (round((x - self.s_range_m[0]) / LINE_CELL_M) for x in s)
        j0, j1 = (round(x / LINE_CELL_M) + middle for x in sorted(t))
        self.lines[max(i0, 0) : max(i1, i0 + 1, 0), max(j0, 0) : max(j1, j0 + 1, 0)] = colour

    def meshes(self, tints: np.ndarray) -> list[tuple[Mesh, Category]]:
        """Return the ground's meshes with their categories; `tints` multiplies kinds' colours."""
        found = []
        tops, steps = self._top_runs(), self._steps()
        for kind, (category, material, _, _, colour) in _KINDS.items():
            corners = np.concatenate([tops[kind], steps[kind]])
            if len(corners):
                st, z = corners[..., :2], corners[..., 2:]
                xyz = np.concatenate([self.xy(st[..., 0], st[..., 1]), z], axis=-1)
                skin = quads(xyz, material, np.array(colour) * tints[kind], st.astype(np.float32))
                found.append((skin, category))
        return found

    def _top_runs(self) -> dict[Ground, np.ndarray]:
        """Quads (Q, 4, (s, t, z)): cells of one kind in a row along s are one quad."""
        starts = np.ones(self.kinds.shape, bool)
        starts[1:] = self.kinds[1:] != self.kinds[:-1]
        starts[::RUN_CELLS] = True
        j, i = np.nonzero(starts.T)  # column by column, so a run ends where the next one starts
        ends = np.append(i[1:], 0)
        ends[ends == 0] = len(self.kinds)
        kind = self.kinds[i, j]
        s = self.s_range_m[0] + np.stack([i, ends, ends, i], axis=1) * CELL_M[0]
        t = self.t_range_m[0] + np.stack([j, j, j + 1, j + 1], axis=1) * CELL_M[1]
        z = self.height(s, t, kind[:, None])
        corners = np.stack([s, t, z], axis=-1)
        return {ground: corners[kind == ground] for ground in Ground}

    def _steps(self) -> dict[Ground, np.ndarray]:
        """Kerbs: upright quads between neighbouring cells of two kinds, of the higher kind."""
        level = np.array([row[2] for row in _KINDS.values()])
        found: dict[Ground, list[np.ndarray]] = {ground: [np.zeros((0, 4, 3))] for ground in Ground}
        for axis in (0, 1):
            low = self.kinds[:-1] if axis == 0 else self.kinds[:, :-1]
            high = self.kinds[1:] if axis == 0 else self.kinds[:, 1:]
            i, j = np.nonzero(low != high)
            pair = np.stack([low[i, j], high[i, j]], axis=1)
            i, j = (i + 1, j) if axis == 0 else (i, j + 1)
            ds, dt = (0, 1) if axis == 0 else (1, 0)
            s = self.s_range_m[0] + np.stack([i, i + ds, i + ds, i], axis=1) * CELL_M[0]
            t = self.t_range_m[0] + np.stack([j, j + dt, j + dt, j], axis=1) * CELL_M[1]
            kind = pair[:, [0, 0, 1, 1]]
            corners = np.stack([s, t, self.height(s, t, kind)], axis=-1)
            owner = np.where(level[pair[:, 0]] > level[pair[:, 1]], pair[:, 0], pair[:, 1])
            for ground in Ground:
                found[ground].append(corners[owner == ground])
        return {ground: np.concatenate(parts) for ground, parts in found.items()}


def blank(
    curvature: float, heading: float, s_range_m: tuple[float, float], t_max_m: float
) -> Street:
    """Return a street of bare grass to paint on."""
    cells = [
        round((s_range_m[1] - s_range_m[0]) / CELL_M[0]),
        round(2 * t_max_m / CELL_M[1]),
    ]
    kinds = np.full(cells, Ground.GRASS, np.uint8)
    lines = np.zeros((round((s_range_m[1] - s_range_m[0]) / LINE_CELL_M), 500), np.uint8)
    return Street(curvature, heading, s_range_m, (-t_max_m, t_max_m), kinds, lines, 0.12)


def horizon(half_m: float) -> Mesh:
    """Return the land beyond the street, just below its ground."""
    h, z = half_m, -0.6
    corners = np.array([[(-h, -h, z), (h, -h, z), (h, h, z), (-h, h, z)]])
    return quads(corners, Material.GRASS, (0.10, 0.12, 0.05))
