"""Rays against a scene: its still part once per scene, its moving part once per moment.

Embree finds the nearest triangle; images and scans both come from here, so they see the same
geometry.
"""

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

from olivine.core.errors import UserError
from olivine.data.datasets.synthetic.world.mesh import Mesh, join
from olivine.data.datasets.synthetic.world.scene import Actor, Scene
from olivine.data.datasets.synthetic.world.taxonomy import Category

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

NOTHING = -1
MOVING_M = 110.0  # farther movers are left out: beyond the LiDAR, a few pixels in images
_FIRST_SCENERY = 10_000  # body ids from here on are scenery, below they are actors' positions


@dataclass(frozen=True)
class Surfaces:
    """Triangles of many bodies with all that a hit needs to know."""

    mesh: Mesh
    category: UInt8[np.ndarray, " T"]
    body: Int[np.ndarray, " T"]  # which actor, or a number from 10,000 on for scenery


@dataclass(frozen=True)
class Hits:
    """What H rays met first; rows of rays that met nothing have `hit` False and hold no meaning."""

    hit: np.ndarray  # (H,) bool
    distance_m: Float[np.ndarray, " H"]
    normal: Float[np.ndarray, "H 3"]  # unit length, towards the ray's origin
    uv_m: Float[np.ndarray, "H 2"]
    material: UInt8[np.ndarray, " H"]
    colour: Float[np.ndarray, "H 3"]
    category: UInt8[np.ndarray, " H"]
    body: Int[np.ndarray, " H"]


@dataclass(frozen=True)
class _Mover:
    """A moving actor, its corners welded so that each moment has few points to place."""

    number: int
    actor: Actor
    points_m: Float[np.ndarray, "P 3"]
    corner_index: Int[np.ndarray, "T 3"]


class StillWorld:
    """A scene's immovable part, ready for rays."""

    def __init__(self, scene: Scene):
        self.scene = scene
        numbered = list(enumerate(scene.actors))
        self._still_poses = {
            number: actor.pose(scene.street, 0.0) for number, actor in numbered if not actor.pace
        }
        bodies = [
            (number, scene.actors[number].mesh.moved(*pose), scene.actors[number].category)
            for number, pose in self._still_poses.items()
        ]
        bodies += [
            (_FIRST_SCENERY + number, mesh, category)
            for number, (mesh, category) in enumerate(scene.scenery)
        ]
        self.surfaces = _surfaces(bodies)
        corners = self.surfaces.mesh.corners_m.reshape(-1, 3)
        self.rays = _embree(corners, np.arange(len(corners)).reshape(-1, 3))
        self._movers = [_weld(number, actor) for number, actor in numbered if actor.pace]

    def pose(self, number: int, time_s: float) -> tuple[np.ndarray, float]:
        """Return an actor's position and yaw."""
        if number in self._still_poses:
            return self._still_poses[number]
        return self.scene.actors[number].pose(self.scene.street, time_s)

    def at(self, time_s: float) -> "Moment":
        """Return the scene at a time, without moving things too far from the recording car."""
        near = [mover for mover in self._movers if self._near(mover.actor, time_s)]
        if not near:
            return Moment(self, None, None)
        points, indices, start = [], [], 0
        for mover in near:
            place, yaw = mover.actor.pose(self.scene.street, time_s)
            points.append(_placed(mover.points_m, place, yaw))
            indices.append(mover.corner_index + start)
            start += len(mover.points_m)
        bodies = [(mover.number, mover.actor.mesh, mover.actor.category) for mover in near]
        return Moment(
            self, _surfaces(bodies), _embree(np.concatenate(points), np.concatenate(indices))
        )

    def _near(self, actor: Actor, time_s: float) -> bool:
        away = abs(actor.s_at(time_s) - self.scene.ego.pace.distance(time_s))
        return away < MOVING_M and actor.present(self.scene.street, time_s)


class Moment:
    """A scene at one time."""

    def __init__(self, still: StillWorld, moving: Surfaces | None, rays: "EmbreeScene | None"):
        self.scene = still.scene
        self._still, self._moving, self._moving_rays = still, moving, rays

    def cast(
        self,
        origins_m: Float[np.ndarray, "H 3"],
        directions: Float[np.ndarray, "H 3"],
        reach_m: float,
    ) -> Hits:
        """Return the first surface along each ray (unit directions) up to a distance."""
        origins = np.ascontiguousarray(origins_m, np.float32)
        directions = np.ascontiguousarray(directions, np.float32)
        limit = np.full(len(origins), reach_m, np.float32)
        found = self._still.rays.run(origins, directions, limit, output=1)
        hits = _look_up(self._still.surfaces, found, directions)
        if self._moving is None or self._moving_rays is None:
            return hits
        # Only what is nearer than the still world counts.
        found = self._moving_rays.run(origins, directions, found["tfar"], output=1)
        rows = np.nonzero(found["primID"] != NOTHING)[0]
        found = {name: values[rows] for name, values in found.items()}
        nearer = _look_up(self._moving, found, directions[rows])
        for name, values in vars(hits).items():
            values[rows] = getattr(nearer, name)
        return hits

    def shadowed(
        self, origins_m: Float[np.ndarray, "H 3"], towards: Float[np.ndarray, " 3"]
    ) -> np.ndarray:
        """Say for each point whether anything stands between it and a far light."""
        origins = np.ascontiguousarray(origins_m, np.float32)
        directions = np.broadcast_to(np.asarray(towards, np.float32), origins.shape).copy()
        dark = self._still.rays.run(origins, directions, query="OCCLUDED") >= 0
        if self._moving_rays is not None:
            dark |= self._moving_rays.run(origins, directions, query="OCCLUDED") >= 0
        return dark


def first_distance(
    mesh: Mesh, origins_m: np.ndarray, directions: np.ndarray, reach_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rays meet a lone mesh, and how far along."""
    corners = mesh.corners_m.reshape(-1, 3)
    rays = _embree(corners, np.arange(len(corners)).reshape(-1, 3))
    found = rays.run(origins_m, directions, np.full(len(origins_m), reach_m, np.float32), output=1)
    return found["primID"] != NOTHING, found["tfar"]


def _surfaces(bodies: list[tuple[int, Mesh, Category]]) -> Surfaces:
    counts = [len(mesh) for _, mesh, _ in bodies]
    return Surfaces(
        join(mesh for _, mesh, _ in bodies),
        np.repeat(np.array([category for _, _, category in bodies], np.uint8), counts),
        np.repeat(np.array([number for number, _, _ in bodies], np.int32), counts),
    )


def _weld(number: int, actor: Actor) -> _Mover:
    corners = actor.mesh.corners_m.reshape(-1, 3)
    points, index = np.unique(corners, axis=0, return_inverse=True)
    return _Mover(number, actor, points, index.reshape(-1, 3).astype(np.int32))


def _placed(points_m: np.ndarray, place: np.ndarray, yaw: float) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    return (points_m @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)) + np.float32(place)


def require_embree() -> None:
    """Raise UserError if the package that traces rays is not installed."""
    if importlib.util.find_spec("embreex") is None:
        raise UserError(
            "The synthetic world is traced by embreex, which is not installed: pip install "
            "'olivine[demo]'."
        )


def _embree(points_m: np.ndarray, corner_index: np.ndarray) -> "EmbreeScene":
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    points = np.ascontiguousarray(points_m, np.float32)
    TriangleMesh(scene, points, np.ascontiguousarray(corner_index, np.int32))
    return scene


def _look_up(surfaces: Surfaces, found: dict[str, np.ndarray], directions: np.ndarray) -> Hits:
    triangle = found["primID"]
    hit = triangle != NOTHING
    row = np.where(hit, triangle, 0)
    normal = found["Ng"]
    facing = np.einsum("ij,ij->i", normal, directions)
    size = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    size[facing > 0] *= -1
    size[size == 0] = 1
    normal = normal / size[:, None]
    shares = np.stack([1 - found["u"] - found["v"], found["u"], found["v"]], axis=1)
    uv = np.einsum("ij,ijk->ik", shares, surfaces.mesh.uv_m[row])
    return Hits(
        hit, found["tfar"], normal, uv,
        surfaces.mesh.material[row], surfaces.mesh.colour[row], surfaces.category[row],
        surfaces.body[row],
    )  # fmt: skip
