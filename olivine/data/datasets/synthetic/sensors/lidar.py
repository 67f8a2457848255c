"""The 32-beam LiDAR: one revolution, compensated for the car's motion to the end of the sweep.

Facts of the format, measured on real files: point i has ring i % 32 and firing i // 32; firings
turn clockwise from the left; ring k points 1.3333 k - 30.67 degrees up; a beam without return has
the position of its sensor, carried to the end of the sweep.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt8

from olivine.data.datasets.synthetic.rig import SWEEP_S, Rig
from olivine.data.datasets.synthetic.sensors.tracing import Hits, StillWorld, first_distance
from olivine.data.datasets.synthetic.world.materials import Material, lidar_tables
from olivine.data.datasets.synthetic.world.mesh import Mesh, box, hull, join
from olivine.data.datasets.synthetic.world.noise import speckle
from olivine.data.datasets.synthetic.world.taxonomy import Category
from olivine.data.geometry.rigid import inverse

NUM_RINGS = 32
REACH_M = 105.0
NUM_SLICES = 4  # times of one sweep at which moving objects are placed
RANGE_NOISE_M = 0.018


@dataclass(frozen=True)
class SimulatedScan:
    """One sweep in the LiDAR frame of its end."""

    xyz_m: Float[np.ndarray, "N 3"]
    intensity: Float[np.ndarray, " N"]  # whole numbers, 0..255
    ring: Int[np.ndarray, " N"]
    category: UInt8[np.ndarray, " N"]
    body: Int[np.ndarray, " N"]  # position of the actor hit; below 0 or above the actors: none


def simulate_scan(
    world: StillWorld, rig: Rig, end_s: float, num_firings: int, rng: np.random.Generator
) -> SimulatedScan:
    """Return the sweep that ends at a time."""
    firing = np.arange(num_firings)
    times = end_s - SWEEP_S * (1 - (firing / max(num_firings - 1, 1)))
    scene_SE3_lidar = _poses(world, rig, times)
    beams = _beams(num_firings)
    directions = np.einsum("fij,frj->fri", scene_SE3_lidar[:, :3, :3], beams)
    origins = np.broadcast_to(scene_SE3_lidar[:, None, :3, 3], directions.shape)
    hits = _sweep(world, origins, directions, times)
    _apply_own(hits, _own_car(num_firings))
    intensity = _intensity(world, hits, directions.reshape(-1, 3), rng)
    lost = hits.hit & (rng.random(len(hits.hit)) < _dropout(hits, directions.reshape(-1, 3)))
    returned = hits.hit & ~lost
    reach = hits.distance_m + rng.normal(0, RANGE_NOISE_M, len(hits.distance_m))
    reach = np.where(returned, reach, 0.0)
    points = origins.reshape(-1, 3) + directions.reshape(-1, 3) * reach[:, None]
    last_SE3_scene = inverse(scene_SE3_lidar[-1])
    xyz = points @ last_SE3_scene[:3, :3].T + last_SE3_scene[:3, 3]
    return SimulatedScan(
        xyz.astype(np.float32),
        np.where(returned, intensity, rng.integers(0, 12, len(intensity))).astype(np.float32),
        np.tile(np.arange(NUM_RINGS), num_firings),
        np.where(returned, hits.category, Category.NOISE).astype(np.uint8),
        np.where(returned, hits.body, -1),
    )


def _poses(world: StillWorld, rig: Rig, times: np.ndarray) -> Float[np.ndarray, "firings 4 4"]:
    """Return the LiDAR's pose at each firing; between nine exact poses the motion is straight."""
    knots = np.linspace(times[0], times[-1], 9)
    ego, street = world.scene.ego, world.scene.street
    exact = np.stack([ego.pose(street, t) @ rig.lidar.ego_SE3_sensor for t in knots])
    place = np.linspace(0, 8, len(times))
    low = np.minimum(place.astype(int), 7)
    share = (place - low)[:, None, None]
    return exact[low] * (1 - share) + exact[low + 1] * share


@lru_cache(maxsize=4)
def _beams(num_firings: int) -> Float[np.ndarray, "firings 32 3"]:
    """Return unit directions in the LiDAR frame (x right, y forward, z up)."""
    azimuth = np.deg2rad(180.0 - 360.0 * np.arange(num_firings) / num_firings)[:, None]
    elevation = np.deg2rad(-30.67 + 1.3333 * np.arange(NUM_RINGS))[None]
    flat = np.cos(elevation)
    up = np.broadcast_to(np.sin(elevation), (num_firings, NUM_RINGS))
    return np.stack([np.cos(azimuth) * flat, np.sin(azimuth) * flat, up], axis=-1)


def _sweep(
    world: StillWorld, origins: np.ndarray, directions: np.ndarray, times: np.ndarray
) -> Hits:
    """Cast the revolution in slices, each with moving things at its own middle time."""
    parts = []
    for chosen in np.array_split(np.arange(len(times)), NUM_SLICES):
        if len(chosen):
            moment = world.at(float(times[chosen].mean()))
            flat = origins[chosen].reshape(-1, 3), directions[chosen].reshape(-1, 3)
            parts.append(moment.cast(*flat, REACH_M))
    return Hits(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Hits.__dataclass_fields__
        }
    )


@lru_cache(maxsize=1)
def _roof() -> Mesh:
    """Return the recording car as its own LiDAR sees it, in the LiDAR frame: roof and bonnet."""
    white = (0.6, 0.6, 0.6)
    roof = hull(
        [
            (-1.05, 0.56, -1.0, -0.41, 0.9), (-0.7, 0.58, -1.0, -0.355, 0.92),
            (0.55, 0.58, -1.0, -0.355, 0.92), (1.25, 0.56, -1.2, -0.8, 0.9),
            (2.15, 0.5, -1.3, -0.95, 0.9),
        ],
        Material.PAINT, white,
    )  # fmt: skip
    bars = [box((0.05, 1.1, 0.05), (x, 0, -0.31), Material.METAL, white) for x in (-0.5, 0.45)]
    return join([roof, *bars]).moved(yaw=np.pi / 2)


@lru_cache(maxsize=4)
def _own_car(num_firings: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which beams hit the car itself, and where."""
    directions = np.ascontiguousarray(_beams(num_firings).reshape(-1, 3), np.float32)
    return first_distance(_roof(), np.zeros_like(directions), directions, 3.0)


def _apply_own(hits: Hits, own: tuple[np.ndarray, np.ndarray]) -> None:
    """End the beams that hit the car's own roof there."""
    rows = np.nonzero(own[0])[0]
    hits.hit[rows], hits.distance_m[rows] = True, own[1][rows]
    hits.category[rows], hits.body[rows], hits.material[rows] = Category.EGO, -1, Material.PAINT


def _intensity(
    world: StillWorld, hits: Hits, directions: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return intensities from material, angle, distance, the body's finish, paint and noise."""
    median, exponent = (table[hits.material] for table in lidar_tables())
    cosine = np.abs(np.einsum("ij,ij->i", hits.normal, directions)).clip(0.02, 1)
    finish = speckle(hits.body * 7.0 + hits.material, hits.body * 3.0 + hits.material * 5.0)
    grain = speckle(hits.uv_m[:, 0] / 0.4, hits.uv_m[:, 1] / 0.4)
    line = world.scene.street.line(hits.uv_m[:, 0], hits.uv_m[:, 1])
    painted = (hits.material == Material.ASPHALT) & (line > 0)
    falloff = np.exp(-hits.distance_m / 90) * (0.8 + 0.2 * np.minimum(hits.distance_m / 6, 1))
    value = 1.35 * median * cosine**exponent * falloff * np.where(painted, 3.0, 1.0)
    value = value * np.exp(1.8 * (finish - 0.5) + 0.7 * (grain - 0.5))
    value = value * np.exp(rng.normal(0, 0.35, len(value)))
    return np.clip(np.rint(value), 0, 255)


def _dropout(hits: Hits, directions: np.ndarray) -> np.ndarray:
    """Return the probability that a hit gives no return: far, grazing, dark or glassy surfaces."""
    cosine = np.abs(np.einsum("ij,ij->i", hits.normal, directions)).clip(0, 1)
    median = lidar_tables()[0][hits.material]
    signal = median * (0.15 + cosine) / (1 + (hits.distance_m / 55) ** 2)
    return np.clip(0.02 + 0.9 * np.exp(-signal / 1.6), 0, 0.97) * (hits.category != Category.EGO)
