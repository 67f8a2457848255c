"""Rays against a scene: its still part once per scene, its moving part once per moment.

Embree finds the nearest triangle; images and scans both come from here, so they see the same
geometry.
"""

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Float, Int, UInt8

from olivine.datasets.synthetic.mesh import Mesh, join
from olivine.datasets.synthetic.scene import Scene
from olivine.datasets.synthetic.taxonomy import Category

NOTHING = -1
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


class StillWorld:
    """A scene's immovable part, ready for rays."""

    def __init__(self, scene: Scene):
        self.scene = scene
        still = [(number, actor) for number, actor in enumerate(scene.actors) if actor.pace is None]
        bodies = [
            (number, actor.mesh.moved(*actor.pose(scene.street, 0.0)), actor.category)
            for number, actor in still
        ]
        bodies += [
            (_FIRST_SCENERY + number, mesh, category)
            for number, (mesh, category) in enumerate(scene.scenery)
        ]
        self.surfaces = _surfaces(bodies)
        self.rays = _embree(self.surfaces)

    def at(self, time_s: float) -> "Moment":
        """Return the whole scene as it is at a time."""
        street = self.scene.street
        bodies = [
            (number, actor.mesh.moved(*actor.pose(street, time_s)), actor.category)
            for number, actor in enumerate(self.scene.actors)
            if actor.pace is not None and actor.present(street, time_s)
        ]
        return Moment(self, _surfaces(bodies) if bodies else None)


class Moment:
    """A scene at one time."""

    def __init__(self, still: StillWorld, moving: Surfaces | None):
        self._still, self._moving = still, moving
        self._moving_rays = _embree(moving) if moving else None

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
        limit = np.where(hits.hit, hits.distance_m, limit).astype(np.float32)
        nearer = _look_up(
            self._moving, self._moving_rays.run(origins, directions, limit, output=1), directions
        )
        rows = np.nonzero(nearer.hit)[0]
        for name, values in vars(hits).items():
            values[rows] = getattr(nearer, name)[rows]
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


def _surfaces(bodies: list[tuple[int, Mesh, Category]]) -> Surfaces:
    counts = [len(mesh) for _, mesh, _ in bodies]
    return Surfaces(
        join(mesh for _, mesh, _ in bodies),
        np.repeat(np.array([category for _, _, category in bodies], np.uint8), counts),
        np.repeat(np.array([number for number, _, _ in bodies], np.int32), counts),
    )


def _embree(surfaces: Surfaces) -> EmbreeScene:
    scene = EmbreeScene()
    corners = np.ascontiguousarray(surfaces.mesh.corners_m.reshape(-1, 3), np.float32)
    TriangleMesh(scene, corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
    return scene


def _look_up(surfaces: Surfaces, found: dict[str, np.ndarray], directions: np.ndarray) -> Hits:
    triangle = found["primID"]
    hit = triangle != NOTHING
    row = np.where(hit, triangle, 0)
    normal = found["Ng"]
    facing = np.einsum("ij,ij->i", normal, directions)
    size = np.linalg.norm(normal, axis=1) * np.where(facing > 0, -1, 1)
    normal = normal / np.where(size == 0, 1, size)[:, None]
    u, v = found["u"][:, None], found["v"][:, None]
    uv = surfaces.mesh.uv_m[row]
    return Hits(
        hit, found["tfar"], normal, uv[:, 0] * (1 - u - v) + uv[:, 1] * u + uv[:, 2] * v,
        surfaces.mesh.material[row], surfaces.mesh.colour[row], surfaces.category[row],
        surfaces.body[row],
    )  # fmt: skip
