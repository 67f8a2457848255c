"""Everything on a street: plots, furniture, parked and moving traffic, people, roadworks."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from olivine.data.datasets.synthetic.world import buildings, cars, heavy, roadside
from olivine.data.datasets.synthetic.world.layout import T_MAX_M, Plan, Plot
from olivine.data.datasets.synthetic.world.mesh import Mesh
from olivine.data.datasets.synthetic.world.scene import Actor
from olivine.data.datasets.synthetic.world.street import Ground
from olivine.data.datasets.synthetic.world.taxonomy import Category

_FLORA: dict[str, tuple[Callable[[np.random.Generator], Mesh], int]] = {
    "tree": (roadside.tree, 8),
    "conifer": (roadside.conifer, 3),
    "bush": (roadside.bush, 6),
}


@dataclass
class Site:
    """A street while it is being filled."""

    plan: Plan
    rng: np.random.Generator
    busy: float  # 1 is ordinary
    scenery: list[tuple[Mesh, Category]] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)
    flora: dict[str, list[Mesh]] = field(default_factory=dict)

    def claim(self, s: float, t: float, radius_m: float) -> bool:
        """Reserve a round spot and return whether it was free."""
        for s0, t0, radius in self.taken:
            if (s - s0) ** 2 + (t - t0) ** 2 < (radius + radius_m) ** 2:
                return False
        self.taken.append((s, t, radius_m))
        return True

    def stand(self, mesh: Mesh, category: Category, s: float, t: float, yaw: float = 0.0) -> None:
        """Put scenery on the ground; yaw is relative to the street."""
        street = self.plan.street
        at = (*street.xy(s, t), float(street.height(s, t)))
        self.scenery.append((mesh.moved(at, street.yaw(s) + yaw), category))

    def plant(self, kind: str, s: float, t: float, scale: float = 1.0) -> None:
        """Put a "tree", "conifer" or "bush" of this scene's few kinds, each plant different."""
        if kind not in self.flora:
            make, count = _FLORA[kind]
            self.flora[kind] = [make(self.rng) for _ in range(count)]
        rng = self.rng
        mesh = self.flora[kind][rng.integers(len(self.flora[kind]))]
        size = scale * rng.uniform(0.7, 1.25) * rng.uniform(0.85, 1.15, 3)
        tint = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
        turned = mesh.moved(yaw=rng.uniform(-np.pi, np.pi), scale=size).tinted(tint)
        self.stand(turned, Category.VEGETATION, s, t)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.rng.random() < probability)


def fill_plots(site: Site) -> None:
    """Build on every plot, and close the view behind them."""
    fillers: dict[str, Callable[[Site, Plot], None]] = {
        "block": _block, "house": _house, "hall": _hall, "park": _park,
        "car park": _car_park, "waste land": _waste_land,
    }  # fmt: skip
    for plot in site.plan.plots:
        fillers[plot.kind](site, plot)
    _backdrop(site)


def _block(site: Site, plot: Plot) -> None:
    rng = site.rng
    setback = rng.uniform(0.0, 1.5) if site.plan.archetype == "downtown" else rng.uniform(1.0, 7.0)
    t = plot.front_m + setback
    height = rng.uniform(7, 28) if site.plan.archetype == "downtown" else rng.uniform(6, 16)
    mesh = buildings.block(rng, plot.width_m - rng.uniform(0, 2), rng.uniform(12, 20), height)
    site.stand(mesh, Category.MANMADE, plot.middle_m, plot.side * t, _facing(plot.side))
    if setback > 2.5:
        for s in np.arange(plot.s_m[0] + 1.5, plot.s_m[1] - 1, rng.uniform(3, 6)):
            if site.claim(s, plot.side * (t - 1.3), 0.8):
                site.plant("bush", s, plot.side * (t - 1.3))


def _house(site: Site, plot: Plot) -> None:
    rng, side = site.rng, plot.side
    setback = rng.uniform(4, 9)
    width = min(plot.width_m - 4.5, rng.uniform(8, 14))
    s = plot.s_m[0] + width / 2 + 0.8
    site.stand(
        buildings.house(rng, width),
        Category.MANMADE,
        s,
        side * (plot.front_m + setback),
        _facing(side),
    )
    drive = plot.s_m[1] - 3
    front = side * plot.front_m
    site.plan.street.paint(
        (drive - 1.5, drive + 1.5), (front, front + side * (setback + 5)), Ground.LOT
    )
    if site.chance(0.5):
        yaw = side * np.pi / 2 + rng.normal(0, 0.04)
        site.actors.append(
            Actor(cars.car(rng), Category.CAR, drive, front + side * 3.5, yaw, parked=True)
        )
    length = drive - 2.2 - plot.s_m[0]
    kind = rng.choice(["hedge", "fence", "open"], p=[0.4, 0.35, 0.25])
    if kind != "open" and length > 3:
        make = roadside.hedge if kind == "hedge" else roadside.fence
        category = Category.VEGETATION if kind == "hedge" else Category.MANMADE
        site.stand(make(rng, length), category, plot.s_m[0] + length / 2, front + side * 0.5)
    for _ in range(rng.integers(0, 4)):
        s, t = rng.uniform(plot.s_m[0] + 1, drive - 2), plot.front_m + rng.uniform(1.2, setback - 1)
        if site.claim(s, side * t, 1.2):
            kind, scale = ("bush", 1.0) if site.chance(0.6) else ("tree", 0.7)
            site.plant(kind, s, side * t, scale)
    _grove(site, plot, plot.front_m + setback + 13, 3)


def _hall(site: Site, plot: Plot) -> None:
    rng, side = site.rng, plot.side
    setback = rng.uniform(8, 14)
    mesh = buildings.hall(rng, plot.width_m - 2, 22.0)
    site.stand(
        mesh, Category.MANMADE, plot.middle_m, side * (plot.front_m + setback), _facing(side)
    )
    for s in np.arange(plot.s_m[0] + 4, plot.s_m[1] - 3, 5.5):
        if site.chance(0.45):
            make, category = _YARD[rng.choice(3, p=[0.45, 0.3, 0.25])]
            t = plot.front_m + (7.5 if category == Category.TRAILER else 4.5)
            yaw = -side * np.pi / 2 + rng.normal(0, 0.03)
            site.actors.append(Actor(make(rng), category, s, side * t, yaw, parked=True))
    if site.chance(0.7):
        _border(site, plot, 0.5)


_YARD: tuple[tuple[Callable[[np.random.Generator], Mesh], Category], ...] = (
    (cars.car, Category.CAR),
    (heavy.truck, Category.TRUCK),
    (heavy.trailer, Category.TRAILER),
)


def _border(site: Site, plot: Plot, hedge_share: float) -> None:
    """Close a plot's front with a hedge or a fence."""
    hedged = site.chance(hedge_share)
    make = roadside.hedge if hedged else roadside.fence
    mesh = make(site.rng, plot.width_m - 2)
    category = Category.VEGETATION if hedged else Category.MANMADE
    site.stand(mesh, category, plot.middle_m, plot.side * (plot.front_m + 0.6))


def _park(site: Site, plot: Plot) -> None:
    rng, side = site.rng, plot.side
    if site.chance(0.6):
        _border(site, plot, 0.75)
    _grove(site, plot, plot.front_m + 2, int(plot.width_m / 1.8))
    for _ in range(int(plot.width_m / 2)):
        s, t = rng.uniform(*plot.s_m), side * (plot.front_m + rng.uniform(1.5, 22))
        if site.claim(s, t, 0.9):
            site.plant("bush", s, t)


def _car_park(site: Site, plot: Plot) -> None:
    rng, side = site.rng, plot.side
    if site.chance(0.7):
        _border(site, plot, 0.75)
    for row, t in enumerate((plot.front_m + 3.5, plot.front_m + 14.5)):
        for s in np.arange(plot.s_m[0] + 2, plot.s_m[1] - 1.5, 2.7):
            site.plan.street.draw((s - 1.35, s - 1.25), (side * (t - 2.4), side * (t + 2.4)))
            if site.chance(0.45):
                yaw = side * np.pi / 2 + np.pi * rng.integers(2) + rng.normal(0, 0.04)
                site.actors.append(
                    Actor(cars.car(rng), Category.CAR, s, side * t, yaw, parked=True)
                )
        if row == 0 and site.chance(0.5):
            site.stand(roadside.lamp_post(rng), Category.MANMADE, plot.middle_m, side * (t + 5))
    mesh = buildings.block(rng, plot.width_m, 14.0, rng.uniform(5, 14))
    site.stand(mesh, Category.MANMADE, plot.middle_m, side * (plot.front_m + 24), _facing(side))


def _waste_land(site: Site, plot: Plot) -> None:
    _grove(site, plot, plot.front_m + 4, 4)
    for _ in range(int(plot.width_m / 2)):
        s, t = site.rng.uniform(*plot.s_m), plot.side * (plot.front_m + site.rng.uniform(2, 18))
        if site.claim(s, t, 0.6):
            site.plant("bush", s, t, 0.7)


def _grove(site: Site, plot: Plot, start_m: float, count: int) -> None:
    rng = site.rng
    for _ in range(count):
        s, t = (
            rng.uniform(plot.s_m[0] + 1, plot.s_m[1] - 1),
            plot.side * rng.uniform(start_m, start_m + 18),
        )
        if abs(t) < T_MAX_M - 2 and site.claim(s, t, 2.2):
            site.plant("conifer" if site.chance(0.2) else "tree", s, t)


def _backdrop(site: Site) -> None:
    """Distant buildings and trees at both ends and behind the plots."""
    rng, (s_min, s_max) = site.rng, site.plan.street.s_range_m
    for side in (1, -1):
        for s in np.arange(s_min, s_max, 24.0):
            if site.plan.near_crossing(s, 12.0):
                continue
            if site.chance(0.55):
                mesh = buildings.block(rng, rng.uniform(14, 24), 12.0, rng.uniform(7, 30))
                site.stand(mesh, Category.MANMADE, s, side * (T_MAX_M - 10), _facing(side))
            else:
                for t in rng.uniform(T_MAX_M - 14, T_MAX_M - 2, 2):
                    site.plant("tree", s + rng.uniform(-8, 8), side * t, 1.3)
    for end, yaw in ((s_min - 6, np.pi / 2), (s_max + 6, -np.pi / 2)):
        for t in np.arange(-T_MAX_M, T_MAX_M, 26.0):
            mesh = buildings.block(rng, rng.uniform(16, 26), 12.0, rng.uniform(7, 35))
            site.stand(mesh, Category.MANMADE, end, t, yaw)


def _facing(side: int) -> float:
    """Yaw that turns a building's front (its -y) to the street."""
    return 0.0 if side > 0 else np.pi
