"""Furniture of a street, parked and moving vehicles, people, and roadworks."""

import numpy as np

from olivine.data.datasets.synthetic.world import cars, heavy, people, roadside
from olivine.data.datasets.synthetic.world.mesh import Mesh
from olivine.data.datasets.synthetic.world.population import Site
from olivine.data.datasets.synthetic.world.scene import Actor, Pace
from olivine.data.datasets.synthetic.world.street import Ground
from olivine.data.datasets.synthetic.world.taxonomy import Category


def furnish(site: Site) -> None:
    """Put up lamps, signs, signals, shelters, bins and the trees of the verge."""
    plan, rng = site.plan, site.rng
    s_min, s_max = plan.street.s_range_m
    for side in (1, -1):
        kerb, (inner, outer) = plan.kerb(side), plan.walk(side)
        t = side * (kerb + 0.5)
        for s in np.arange(s_min + rng.uniform(0, 25), s_max, rng.uniform(24, 34)):
            if not plan.near_crossing(s, 2.0) and site.claim(s, t, 0.4):
                yaw = np.pi if side > 0 else 0.0  # the lamp's arm reaches over the road
                site.stand(roadside.lamp_post(rng), Category.MANMADE, s, t, yaw)
        for s in rng.uniform(s_min, s_max, 9):
            if not plan.near_crossing(s, 2.0) and site.claim(s, t, 0.5):
                toward = 0.0 if side == plan.keep else np.pi
                site.stand(roadside.road_sign(rng), Category.MANMADE, s, t, toward)
        for s in rng.uniform(s_min, s_max, 7):
            t_bin = side * (outer - 0.5)
            if not plan.near_crossing(s, 4.0) and site.claim(s, t_bin, 0.5):
                category = Category.PUSHABLE if site.chance(0.5) else Category.STATIC_OTHER
                site.stand(roadside.litter_bin(rng), category, s, t_bin, rng.normal(0, 0.1))
        if plan.verge_m[side] or site.chance(0.75):
            _avenue(site, side, (kerb + inner) / 2 if plan.verge_m[side] else inner + 0.7)
        if plan.verge_m[side]:
            for s in np.arange(s_min, s_max, rng.uniform(2.2, 4)):
                t_bush = side * (kerb + inner) / 2
                if not plan.near_crossing(s, 4.0) and site.claim(s, t_bush, 0.5):
                    site.plant("bush", s, t_bush, 0.6)
    if plan.crossing is not None:
        _signals(site, plan.crossing)


def _avenue(site: Site, side: int, t: float) -> None:
    rng, plan = site.rng, site.plan
    s_min, s_max = plan.street.s_range_m
    for s in np.arange(s_min + rng.uniform(0, 9), s_max, rng.uniform(6, 12)):
        at = s + rng.uniform(-1.5, 1.5)
        if not plan.near_crossing(at, 5.0) and site.claim(at, side * t, 0.7) and site.chance(0.8):
            site.plant("tree", at, side * t, 0.85)


def _signals(site: Site, crossing: float) -> None:
    plan = site.plan
    for side in (1, -1):
        end = -1 if side == plan.keep else 1
        s, t = crossing + end * (plan.crossing_half_m + 2.2), side * (plan.kerb(side) + 0.6)
        if site.claim(s, t, 0.4):
            yaw = 0.0 if side == plan.keep else np.pi
            site.stand(roadside.traffic_light(site.rng), Category.MANMADE, s, t, yaw)


def roadworks(site: Site, s: float, side: int, digger: bool, cones: bool) -> None:
    """Fence off the road's edge and the walk from s on: barriers, cones, workers, a digger."""
    plan, rng = site.plan, site.rng
    length, depth = rng.uniform(13, 20), rng.uniform(4.0, 5.0)
    near = plan.kerb(side) - min(plan.parking_m[side], 2.0)
    far = near + depth
    pit = Ground.SOIL if site.chance(0.6) else Ground.GRAVEL
    plan.street.paint((s + 2, s + length - 2), (side * (near + 0.8), side * (far - 0.5)), pit)
    for step in np.arange(s, s + length, 8.0):  # nothing else stands in it
        site.claim(step + 2, side * (near + depth / 2), 4.0)
    style = np.random.default_rng(rng.integers(2**32)).integers(2**32)
    for step in np.arange(s + 1.5, s + length - 1, 3.1):
        wall = roadside.barrier(np.random.default_rng(style))
        yaw = np.pi / 2 + rng.normal(0, 0.05)
        site.actors.append(Actor(wall, Category.BARRIER, step, side * near, yaw))
        if site.chance(0.4):
            site.actors.append(Actor(wall, Category.BARRIER, step, side * far, yaw))
    for step in (s, s + length):
        wall = roadside.barrier(np.random.default_rng(style))
        site.actors.append(
            Actor(wall, Category.BARRIER, step, side * (near + 1.6), rng.normal(0, 0.05))
        )
    if digger:
        yaw = rng.uniform(-0.5, 0.5) + np.pi * rng.integers(2)
        mesh = heavy.excavator(rng)
        at = (s + length * rng.uniform(0.45, 0.6), side * (near + depth / 2))
        site.actors.append(Actor(mesh, Category.CONSTRUCTION, *at, yaw, parked=True))
    if cones:
        for i in range(rng.integers(4, 8)):
            at = (s - 1.2 - 1.7 * i, side * (near + 0.3 * i))
            site.actors.append(Actor(roadside.cone(rng), Category.CONE, *at))
    for _ in range(rng.integers(1, 4)):
        at = (s + rng.uniform(1, length - 1), side * (near + rng.uniform(0.7, depth - 0.6)))
        mesh = people.person(rng, walking=False, worker=True)
        site.actors.append(Actor(mesh, Category.WORKER, *at, rng.uniform(-3, 3)))


def park_vehicles(site: Site) -> None:
    """Fill the parking lanes, mostly with cars."""
    plan, rng = site.plan, site.rng
    s_min, s_max = plan.street.s_range_m
    for side in (1, -1):
        if not plan.parking_m[side]:
            continue
        t = side * (plan.kerb(side) - plan.parking_m[side] / 2)
        s = s_min + 5
        while s < s_max - 5:
            mesh, category = _parked(rng)
            half = _half_length(mesh)
            s += half
            clear = not plan.near_crossing(s, half + 7) and _fits(site, s, t, half)
            if clear and site.chance(min(0.9, 0.33 * site.busy)):
                yaw = (0.0 if side == plan.keep else np.pi) + rng.normal(0, 0.025)
                site.actors.append(
                    Actor(mesh, category, s, t + rng.normal(0, 0.12), yaw, parked=True)
                )
                for step in np.arange(-half, half + 0.5, 1.8):
                    site.taken.append((s + step, t, 0.9))
            s += half + rng.uniform(0.7, 2.0)


def _parked(rng: np.random.Generator) -> tuple[Mesh, Category]:
    draw = rng.random()
    if draw < 0.88:
        return cars.car(rng), Category.CAR
    if draw < 0.96:
        return heavy.truck(rng), Category.TRUCK
    return heavy.trailer(rng), Category.TRAILER


def _fits(site: Site, s: float, t: float, half: float) -> bool:
    on_road = site.plan.street.kind(np.array([s - half, s, s + half]), t) == Ground.ROAD
    free = all(
        (abs(s - s0) > half + radius) or (abs(t - t0) > 1.1 + radius)
        for s0, t0, radius in site.taken
    )
    return bool(on_road.all() and free)


def _half_length(mesh: Mesh) -> float:
    return float(np.ptp(mesh.corners_m[..., 0])) / 2


def drive(site: Site, ego_lane: tuple[int, int], ego: Pace, company: tuple[str, ...]) -> None:
    """Put traffic on every lane; vehicles of the recording car's lane keep its pace."""
    plan, rng = site.plan, site.rng
    s_min, s_max = plan.street.s_range_m
    for side in (1, -1):
        along = 1 if side == plan.keep else -1
        for lane in range(plan.num_lanes[side]):
            own = (side, lane) == ego_lane
            pace = ego if own else Pace(rng.uniform(3, 13), 0.0, along)
            t = plan.lane_t(side, lane)
            kept = _accompany(site, t, ego, company) if own else (0.0, 0.0)
            s = s_min + rng.exponential(18)
            while s < s_max:
                mesh, category, ridden = _driven(rng, site)
                half = _half_length(mesh)
                s += half
                if not kept[0] - half < s < kept[1] + half:
                    site.actors.append(
                        Actor(mesh, category, s, t + rng.normal(0, 0.15), 0.0, pace, ridden=ridden)
                    )
                s += half + 4 + rng.exponential(26 / max(site.busy, 0.1))


def _accompany(site: Site, t: float, ego: Pace, company: tuple[str, ...]) -> tuple[float, float]:
    """Put long vehicles before and behind the recording car; return the stretch they take."""
    rng, ends = site.rng, {1: 11.0, -1: 9.0}
    for i, kind in enumerate(company):
        way = 1 if (i == 0 and site.chance(0.6)) or ends[-1] > 9.0 else -1
        pieces = [(heavy.bus(rng), Category.BUS)]
        if kind == "trailer":
            pieces = [
                (heavy.trailer(rng), Category.TRAILER),
                (heavy.truck(rng), Category.TRUCK),
            ]
        ends[way] += rng.uniform(2, 10)
        for mesh, category in pieces[::way]:
            half = _half_length(mesh)
            site.actors.append(Actor(mesh, category, way * (ends[way] + half), t, 0.0, ego))
            ends[way] += 2 * half + 0.4
    return -ends[-1] - 3, ends[1] + 3


def _driven(rng: np.random.Generator, site: Site) -> tuple[Mesh, Category, bool]:
    draw = rng.random()
    if draw < 0.80:
        return cars.car(rng), Category.CAR, False
    if draw < 0.90:
        return heavy.truck(rng), Category.TRUCK, False
    if draw < 0.92:
        bendy = site.chance(0.15)
        category = Category.BENDY_BUS if bendy else Category.BUS
        return heavy.bus(rng, bendy), category, False
    if draw < 0.96:
        return people.motorcycle(rng, True), Category.MOTORCYCLE, True
    return people.bicycle(rng, True), Category.BICYCLE, True


def walkers(site: Site) -> None:
    """People on the walks, alone and in pairs, some standing, and children with them."""
    plan, rng = site.plan, site.rng
    s_min, s_max = plan.street.s_range_m
    count = rng.poisson(26 * site.busy if plan.archetype == "downtown" else 13 * site.busy)
    for _ in range(count):
        side = int(rng.choice([-1, 1]))
        inner, outer = plan.walk(side)
        s, t = rng.uniform(s_min + 20, s_max - 20), side * rng.uniform(inner + 0.5, outer - 0.4)
        if not site.claim(s, t, 0.5) or plan.near_crossing(s, 2.0):
            continue
        walking = site.chance(0.65)
        pace = Pace(rng.uniform(0.7, 1.7), 0.0, int(rng.choice([-1, 1]))) if walking else None
        for mate in range(2 if site.chance(0.25) else 1):
            child = site.chance(0.1)
            mesh = people.person(rng, walking, child)
            category = Category.CHILD if child else Category.ADULT
            turn = rng.normal(0, 0.1) if walking else rng.uniform(-3, 3)
            site.actors.append(Actor(mesh, category, s, t + 0.65 * mate * side, turn, pace))
    if plan.crossing is not None:
        _crossing_people(site, plan.crossing)


def _crossing_people(site: Site, crossing: float) -> None:
    plan, rng = site.plan, site.rng
    for _ in range(rng.integers(0, 4)):
        s = crossing + rng.choice([-1, 1]) * (plan.crossing_half_m + rng.uniform(3, 5))
        side = int(rng.choice([-1, 1]))
        t = side * (plan.kerb(side) + rng.uniform(0.3, 1.5))
        if site.claim(s, t, 0.4):
            mesh = people.person(rng, walking=False)
            site.actors.append(Actor(mesh, Category.ADULT, s, t, rng.uniform(-3, 3)))


def cycle_stand(site: Site, s: float, side: int, kind: Category) -> bool:
    """Park a row of bicycles or motorcycles on the walk; return whether two or more found room."""
    plan, rng = site.plan, site.rng
    inner, outer = plan.walk(side)
    t = side * rng.choice([inner + 0.95, outer - 0.4], p=[0.7, 0.3])
    s, count = s + rng.uniform(0, 8), 0
    for _ in range(rng.integers(2, 5)):
        s += rng.uniform(0.8, 1.5)
        if not plan.near_crossing(s, 2.0) and site.claim(s, t, 0.35):
            make = people.bicycle if kind == Category.BICYCLE else people.motorcycle
            yaw = np.pi / 2 * side + rng.normal(0, 0.25)
            site.actors.append(Actor(make(rng, False), kind, s, t, yaw, parked=True))
            count += 1
    if count > 1:  # nothing stands between them and the road
        site.taken.append((s - 2, side * (plan.kerb(side) - 1.2), 2.8))
    return count > 1


def cone_row(site: Site, s: float, side: int) -> None:
    """Keep a stretch of kerb free with cones."""
    t = side * (site.plan.kerb(side) - 0.45)
    for at in s + np.arange(site.rng.integers(3, 7)) * site.rng.uniform(1.8, 3.0):
        if not site.plan.near_crossing(at, 7.0) and site.claim(at, t, 0.6):
            site.actors.append(Actor(roadside.cone(site.rng), Category.CONE, at, t))


def waiting_bus(site: Site, s: float, side: int) -> bool:
    """Stop a bus at the kerb where there is room, with a shelter; return whether there was."""
    plan, rng = site.plan, site.rng
    s, room = s + 10, plan.parking_m[side] > 0
    if room:
        yaw = (0.0 if side == plan.keep else np.pi) + rng.normal(0, 0.02)
        t = side * (plan.kerb(side) - 1.45)
        reach = (side * (plan.kerb(side) - plan.parking_m[side]), side * plan.kerb(side))
        plan.street.paint((s - 9, s + 9), reach, Ground.ROAD)
        site.actors.append(Actor(heavy.bus(rng), Category.BUS, s, t, yaw))
        site.taken += [(s + step, t, 1.3) for step in np.arange(-6, 6.1, 2)]
    shelter = side * (plan.walk(side)[1] - 0.8)
    if site.claim(s, shelter, 2.0):
        yaw = 0.0 if side > 0 else np.pi
        site.stand(roadside.bus_shelter(rng), Category.MANMADE, s, shelter, yaw)
    return room
