"""Makes a scene from its name and the world's seed."""

from collections.abc import Iterator
from itertools import cycle

import numpy as np

from olivine.data.datasets.synthetic.config import SCENE_NAMES, WorldConfig, seeded_generator
from olivine.data.datasets.synthetic.rig import KEYFRAME_S
from olivine.data.datasets.synthetic.world import traffic
from olivine.data.datasets.synthetic.world.layout import ARCHETYPES, Plan, plan_street
from olivine.data.datasets.synthetic.world.population import Site, fill_plots
from olivine.data.datasets.synthetic.world.scene import EgoPath, Light, Pace, Scene
from olivine.data.datasets.synthetic.world.street import Ground, horizon
from olivine.data.datasets.synthetic.world.taxonomy import Category

# Where the real scenes of these names were recorded; Singapore drives on the left.
_LOCATIONS = {
    "scene-0061": ("n015", "singapore-onenorth"),
    "scene-0103": ("n008", "boston-seaport"),
    "scene-0553": ("n008", "boston-seaport"),
    "scene-0655": ("n008", "boston-seaport"),
    "scene-0757": ("n008", "boston-seaport"),
    "scene-0796": ("n015", "singapore-queenstown"),
    "scene-0916": ("n015", "singapore-queenstown"),
    "scene-1077": ("n015", "singapore-hollandvillage"),
    "scene-1094": ("n015", "singapore-hollandvillage"),
    "scene-1100": ("n015", "singapore-hollandvillage"),
}


def location_of(name: str) -> str:
    """Return the location of the scene of this name."""
    return _LOCATIONS[name][1]


def promised(name: str) -> tuple[Category, ...]:
    """Return the rare categories that the scene of this name must show to its LiDAR.

    Each is promised by every other scene in the order of SCENE_NAMES, so by some scenes of
    mini_train and by one of the two of mini_val.
    """
    if SCENE_NAMES.index(name) // 2 % 2 == 0:
        return Category.BICYCLE, Category.CONSTRUCTION, Category.TRAILER
    return Category.MOTORCYCLE, Category.BUS, Category.CONE, Category.BARRIER


def grow_scene(config: WorldConfig, name: str, attempt: int = 0) -> Scene:
    """Return one scene, the same for the same arguments."""
    vehicle, location = _LOCATIONS[name]
    index = SCENE_NAMES.index(name)
    rng = seeded_generator(config.seed, name, "plan", attempt)
    keep = 1 if location.startswith("singapore") else -1
    archetype = ARCHETYPES[(index + config.seed) % len(ARCHETYPES)]
    duration = config.keyframes_per_scene * KEYFRAME_S
    ego = Pace(rng.uniform(4.0, 12.0), rng.uniform(-0.6, 0.4))
    plan = plan_street(rng, archetype, keep, ego.distance(duration))
    site = Site(plan, rng, config.traffic * rng.uniform(0.6, 1.4))
    company = _cast_rare(site, index, ego.distance(duration))
    fill_plots(site)
    traffic.park_vehicles(site)
    traffic.furnish(site)
    lane = (keep, int(rng.integers(plan.num_lanes[keep])))
    traffic.drive(site, lane, ego, company)
    traffic.walkers(site)
    tints = rng.uniform(0.65, 1.4, (len(Ground), 1)) * rng.uniform(0.88, 1.12, (len(Ground), 3))
    scenery = [*site.scenery, *plan.street.meshes(tints), (horizon(500.0), Category.TERRAIN)]
    return Scene(
        name, vehicle, location, f"Synthetic {archetype} street, seed {config.seed}",
        plan.street, scenery, site.actors,
        EgoPath(plan.lane_t(*lane), ego, rng.uniform(0, 6)),
        _light(seeded_generator(config.seed, name, "light")),
    )  # fmt: skip


def _cast_rare(site: Site, index: int, travel_m: float) -> tuple[str, ...]:
    """Place the promised categories, and others with some probability.

    Returns the long vehicles that share the recording car's lane.
    """
    certain = index // 2 % 2

    def chosen(parity: int) -> bool:
        return parity == certain or site.chance(0.6)

    stretches = _stretches(site.plan, site.rng, travel_m)
    for parity, kind in ((0, Category.BICYCLE), (1, Category.MOTORCYCLE)):
        if chosen(parity):
            any(traffic.cycle_stand(site, *next(stretches), kind) for _ in range(4))
    if chosen(1):
        traffic.cone_row(site, *next(stretches))
    if chosen(0):
        traffic.roadworks(site, *next(stretches), digger=True, cones=site.chance(0.7))
    if chosen(1):
        traffic.roadworks(site, *next(stretches), digger=site.chance(0.3), cones=True)
    stop = certain == 1 and traffic.waiting_bus(site, *next(stretches))
    company = ("bus",) if not stop and certain == 1 else ()
    return (*company, "trailer") if chosen(0) else company


def _stretches(
    plan: Plan, rng: np.random.Generator, travel_m: float
) -> Iterator[tuple[float, int]]:
    """Yield stretches of 20 m beside the path and clear of the cross street: (s, side).

    The nearest come first, those on the recording car's own side before the others.
    """
    margin = plan.crossing_half_m + 8
    found = [
        (abs(s + 10 - travel_m / 2) + 10 * (side != plan.keep) + rng.uniform(0, 12), float(s), side)
        for s in np.arange(-28.0, travel_m + 28.0, 21.0)
        for side in (1, -1)
        if plan.crossing is None or not s - margin - 1 < plan.crossing < s + 20 + margin
    ]
    return cycle([(s, side) for _, s, side in sorted(found)])


def _light(rng: np.random.Generator) -> Light:
    """Return sunshine, an overcast sky or a low evening sun."""
    clouds = float(rng.choice([0.15, 0.5, 0.95], p=[0.5, 0.25, 0.25]))
    elevation = rng.uniform(0.25, 1.2)
    azimuth = rng.uniform(-np.pi, np.pi)
    sun = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    low = np.clip(1 - elevation / 0.7, 0, 1)
    colour = np.array([1.0, 0.93 - 0.25 * low, 0.82 - 0.45 * low])
    blue = np.array([0.28, 0.45, 0.85])
    grey = np.array([0.62, 0.65, 0.70])
    sky = blue * (1 - clouds) + grey * clouds
    haze = 0.5 * sky + 0.45 * np.array([1.0, 0.97, 0.92]) * (1 - 0.3 * low)
    return Light(
        sun=sun.astype(np.float32),
        sun_colour=(colour * 2.6 * (1 - clouds) ** 1.2).astype(np.float32),
        sky_colour=sky.astype(np.float32),
        horizon_colour=haze.astype(np.float32),
        clouds=clouds,
        haze_m=rng.uniform(350, 1500),
        gain=rng.uniform(0.8, 1.25),
        warmth=rng.normal(0, 0.05),
    )
