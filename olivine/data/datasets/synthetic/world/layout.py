"""The plan of a street: lanes, kerbs, walks, crossing, plots of land; painted on its ground."""

from dataclasses import dataclass

import numpy as np

from olivine.data.datasets.synthetic.world.street import CELL_M, Ground, Street, blank

T_MAX_M = 60.0  # the modelled land reaches this far to both sides
BEHIND_M, AHEAD_M = 115.0, 125.0  # and this far beyond the recording car's path

ARCHETYPES = ("downtown", "residential", "boulevard", "industrial", "park")
# Relative frequency of each kind of plot: block, house, hall, park, car park, site.
PLOT_KINDS = ("block", "house", "hall", "park", "car park", "waste land")
_PLOTS = {
    "downtown": (0.60, 0.04, 0.02, 0.22, 0.08, 0.04),
    "residential": (0.12, 0.54, 0.0, 0.24, 0.04, 0.06),
    "boulevard": (0.36, 0.10, 0.0, 0.42, 0.06, 0.06),
    "industrial": (0.14, 0.04, 0.34, 0.24, 0.08, 0.16),
    "park": (0.14, 0.14, 0.0, 0.58, 0.05, 0.09),
}


@dataclass(frozen=True)
class Plot:
    """A piece of land beside the street: side (+1 left, -1 right), its ends and its front."""

    kind: str
    side: int
    s_m: tuple[float, float]
    front_m: float  # |t| where it begins

    @property
    def middle_m(self) -> float:
        """Position of its centre along the street."""
        return sum(self.s_m) / 2

    @property
    def width_m(self) -> float:
        """Extent along the street."""
        return self.s_m[1] - self.s_m[0]


@dataclass(frozen=True)
class Plan:
    """Cross-section and divisions of a street; dictionaries are by side, +1 left and -1 right."""

    street: Street
    archetype: str
    keep: int  # side on which traffic drives
    lane_m: float
    median_m: float  # half its width; 0 without one
    num_lanes: dict[int, int]
    parking_m: dict[int, float]
    verge_m: dict[int, float]
    walk_m: dict[int, float]
    crossing: float | None  # s of the cross street's axis
    crossing_half_m: float
    plots: tuple[Plot, ...]

    def lane_t(self, side: int, lane: int) -> float:
        """Return t of a lane's middle, lane 0 being the inner one."""
        return side * (self.median_m + (lane + 0.5) * self.lane_m)

    def kerb(self, side: int) -> float:
        """Return |t| of the kerb."""
        return self.median_m + self.num_lanes[side] * self.lane_m + self.parking_m[side]

    def walk(self, side: int) -> tuple[float, float]:
        """Return |t| of the sidewalk's edges."""
        inner = self.kerb(side) + self.verge_m[side]
        return inner, inner + self.walk_m[side]

    def near_crossing(self, s: float, margin_m: float = 0.0) -> bool:
        """Return whether s lies in the cross street."""
        if self.crossing is None:
            return False
        return bool(abs(s - self.crossing) < self.crossing_half_m + margin_m)


def plan_street(rng: np.random.Generator, archetype: str, keep: int, travel_m: float) -> Plan:
    """Return a painted street along which a car will drive `travel_m`."""
    wide = archetype in ("downtown", "boulevard", "industrial")
    curvature = rng.uniform(1 / 900, 1 / 260) * rng.choice([-1, 1])
    ends = (-BEHIND_M, float(np.ceil(travel_m)) + AHEAD_M)
    street = blank(curvature, rng.uniform(-np.pi, np.pi), ends, T_MAX_M)
    crossing = rng.uniform(16, 26 + travel_m) if rng.random() < 0.65 else None
    num = int(rng.integers(1, 3)) if wide else 1
    plan = Plan(
        street=street,
        archetype=archetype,
        keep=keep,
        lane_m=rng.uniform(3.2, 3.7),
        median_m=rng.choice([0.0, 0.75, 1.5]) if wide else 0.0,
        num_lanes={keep: num, -keep: int(rng.integers(1, num + 1))},
        parking_m={side: float(rng.choice([0.0, 2.5], p=[0.3, 0.7])) for side in (1, -1)},
        verge_m={side: float(rng.choice([0.0, 1.5, 2.5], p=[0.5, 0.3, 0.2])) for side in (1, -1)},
        walk_m={side: rng.uniform(1.8, 3.6) if wide else rng.uniform(1.5, 2.4) for side in (1, -1)},
        crossing=crossing,
        crossing_half_m=rng.uniform(3.5, 6.5),
        plots=(),
    )
    plan = _with_plots(rng, plan)
    _paint_plots(rng, plan)
    _paint_walks(plan)
    _paint_carriageway(rng, plan)
    if crossing is not None:
        _paint_crossing(plan, crossing)
    _draw_lanes(rng, plan)
    return plan


def _with_plots(rng: np.random.Generator, plan: Plan) -> Plan:
    plots = []
    s_min, s_max = plan.street.s_range_m
    for side in (1, -1):
        s = s_min
        while s < s_max - 8:
            width = rng.uniform(14, 34)
            if plan.crossing is not None and s < plan.crossing:
                gap = plan.crossing - plan.crossing_half_m - 4 - s
                width = min(width, gap) if gap > 8 else 0.0
                if not width:
                    s = plan.crossing + plan.crossing_half_m + 4
                    continue
            kind = str(rng.choice(PLOT_KINDS, p=_PLOTS[plan.archetype]))
            end = min(s + width, s_max)
            plots.append(Plot(kind, side, (s, end), plan.walk(side)[1]))
            s = end
    return Plan(**{**vars(plan), "plots": tuple(plots)})


def _paint_plots(rng: np.random.Generator, plan: Plan) -> None:
    grounds = {
        "block": (Ground.PLAZA, Ground.SIDEWALK, Ground.GRASS),
        "house": (Ground.GRASS,),
        "hall": (Ground.LOT, Ground.SOIL),
        "park": (Ground.GRASS,),
        "car park": (Ground.LOT,),
        "waste land": (Ground.SOIL, Ground.GRASS),
    }
    for plot in plan.plots:
        ground = Ground(rng.choice(grounds[plot.kind]))
        plan.street.paint(plot.s_m, (plot.side * plot.front_m, plot.side * T_MAX_M), ground)
        if plot.kind == "park":  # a path through it
            s, front = rng.uniform(*plot.s_m), plot.side * plot.front_m
            plan.street.paint((s, s + 2), (front, front + plot.side * 30), Ground.PLAZA)


def _paint_walks(plan: Plan) -> None:
    whole = plan.street.s_range_m
    for side in (1, -1):
        inner, outer = plan.walk(side)
        plan.street.paint(whole, (side * inner, side * outer), Ground.SIDEWALK)
        plan.street.paint(whole, (side * plan.kerb(side), side * inner), Ground.GRASS)


def _paint_carriageway(rng: np.random.Generator, plan: Plan) -> None:
    street, whole = plan.street, plan.street.s_range_m
    street.paint(whole, (-plan.kerb(-1), plan.kerb(1)), Ground.ROAD)
    if plan.median_m:
        kind = Ground(rng.choice([Ground.ISLAND, Ground.GRASS, Ground.GRAVEL], p=[0.6, 0.2, 0.2]))
        street.paint(whole, (-plan.median_m, plan.median_m), kind)
    for side in (1, -1):
        if plan.parking_m[side] and rng.random() < 0.7:  # build-outs between parking bays
            for s in np.arange(whole[0] + rng.uniform(0, 20), whole[1], rng.uniform(18, 30)):
                kerb = plan.kerb(side)
                street.paint((s, s + 2), (side * (kerb - 2.0), side * kerb), Ground.ISLAND)


def _paint_crossing(plan: Plan, s: float) -> None:
    """Lay a street across, with walks, zebra crossings and refuge islands."""
    street, half = plan.street, plan.crossing_half_m
    for side in (1, -1):
        kerb = plan.kerb(side)
        far = (side * kerb, side * T_MAX_M)
        street.paint(
            (s - half - 3, s + half + 3), (side * plan.walk(side)[0], far[1]), Ground.SIDEWALK
        )
        street.paint((s - half, s + half), far, Ground.ROAD)
        island = (side * (kerb + 9), side * (kerb + 15))
        street.paint((s - CELL_M[0], s + CELL_M[0]), island, Ground.ISLAND)
        for bar in np.arange(s - half + 0.4, s + half - 0.6, 1.1):
            street.draw((bar, bar + 0.55), (side * (kerb + 4), side * (kerb + 7)))
    street.paint((s - half - 6, s + half + 6), (-plan.kerb(-1), plan.kerb(1)), Ground.ROAD)
    for end in (-1, 1):
        at = s + end * (half + 4.0)
        for bar in np.arange(-plan.kerb(-1) + 0.4, plan.kerb(1) - 0.6, 1.1):
            street.draw((at - 1.5, at + 1.5), (bar, bar + 0.55))
        street.draw((at + end * 2.6, at + end * 3.0), (-plan.kerb(-1), plan.kerb(1)))


def _draw_lanes(rng: np.random.Generator, plan: Plan) -> None:
    street, (s_min, s_max) = plan.street, plan.street.s_range_m
    middle = 2 if rng.random() < 0.5 else 1
    gap = 0.0 if plan.crossing is None else plan.crossing_half_m + 7
    for s in np.arange(s_min, s_max, 1.0):
        if plan.near_crossing(s + 0.5, gap - plan.crossing_half_m if gap else 0.0):
            continue
        piece = (s, s + 1.0)
        if plan.median_m:
            for side in (1, -1):
                t = side * (plan.median_m + 0.15)
                street.draw(piece, (t, t + side * 0.12), middle)
        else:
            street.draw(piece, (-0.18, -0.06), middle)
            street.draw(piece, (0.06, 0.18), middle)
        for side in (1, -1):
            if int(s) % 9 < 3:
                for lane in range(1, plan.num_lanes[side]):
                    t = side * (plan.median_m + lane * plan.lane_m)
                    street.draw(piece, (t - 0.06, t + 0.06))
            edge = side * (
                plan.kerb(side) - plan.parking_m[side] - (0 if plan.parking_m[side] else 0.25)
            )
            street.draw(piece, (edge - 0.05, edge + 0.05))
            if plan.parking_m[side] and int(s) % 6 == 0:
                street.draw((s, s + 0.1), (edge, side * (plan.kerb(side) - 0.1)))
