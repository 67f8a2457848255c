"""Renders one camera's image and the true class of each of its pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from olivine.data.datasets.synthetic.rig import Mount
from olivine.data.datasets.synthetic.sensors.texture import albedo
from olivine.data.datasets.synthetic.sensors.tracing import Hits, Moment, StillWorld
from olivine.data.datasets.synthetic.world.materials import Material
from olivine.data.datasets.synthetic.world.noise import fractal
from olivine.data.datasets.synthetic.world.scene import Light
from olivine.data.datasets.synthetic.world.taxonomy import class_of_category
from olivine.data.records import IGNORE

REACH_M = 600.0


@dataclass(frozen=True)
class RenderedImage:
    """An image with the true class and the depth of its pixels."""

    rgb: UInt8[np.ndarray, "rows columns 3"]
    class_ids: UInt8[np.ndarray, "rows columns"]  # class of each pixel's centre, or IGNORE
    depth_m: Float[np.ndarray, "rows columns"]  # along the optical axis; infinite for the sky


def render_image(
    world: StillWorld,
    mount: Mount,
    time_s: float,
    size_px: tuple[int, int],
    rng: np.random.Generator,
) -> RenderedImage:
    """Return the image that a camera of (rows, columns) records at a time."""
    scene = world.scene
    scene_SE3_cam = scene.ego.pose(scene.street, time_s) @ mount.ego_SE3_sensor
    local, lengths = _pixel_rays(mount, size_px)
    directions = (local @ scene_SE3_cam[:3, :3].T.astype(np.float32)).astype(np.float32)
    origins = np.broadcast_to(scene_SE3_cam[:3, 3].astype(np.float32), directions.shape)
    moment = world.at(time_s)
    hits = moment.cast(origins, directions, REACH_M)
    rgb = _shade(moment, hits, (origins, directions), mount.intrinsics_px[0][0])
    truth = np.where(hits.hit, class_of_category()[hits.category], IGNORE).astype(np.uint8)
    depth = np.where(hits.hit, hits.distance_m / lengths, np.inf).astype(np.float32)
    return RenderedImage(
        _develop(rgb.reshape(*size_px, 3), scene.light, rng),
        truth.reshape(size_px),
        depth.reshape(size_px),
    )


def _pixel_rays(mount: Mount, size_px: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return unit directions (H, 3) through pixel centres, and their length at depth one."""
    (f, _, cx), (_, _, cy), _ = mount.intrinsics_px
    rows, columns = np.mgrid[: size_px[0], : size_px[1]].astype(np.float32)
    rays = np.stack([(columns - cx) / f, (rows - cy) / f, np.ones_like(rows)], axis=-1)
    rays = rays.reshape(-1, 3)
    lengths = np.linalg.norm(rays, axis=1)
    return rays / lengths[:, None], lengths


def _shade(
    moment: Moment, hits: Hits, rays: tuple[np.ndarray, np.ndarray], focal_px: float
) -> np.ndarray:
    """Return linear radiance: sun with shadows, sky light, reflections, haze."""
    light, (origins, directions) = moment.scene.light, rays
    rows, open_sky = np.nonzero(hits.hit)[0], np.nonzero(~hits.hit)[0]
    radiance = np.empty((len(hits.hit), 3), np.float32)
    radiance[open_sky] = _sky(light, directions[open_sky])
    distance, normal = hits.distance_m[rows], hits.normal[rows]
    cosine = np.abs(np.einsum("ij,ij->i", normal, directions[rows]))
    footprint = distance / focal_px / np.maximum(cosine, 0.05)
    sharpness = np.clip(1.5 - footprint / 0.08, 0, 1)
    base = albedo(
        moment.scene.street, hits, rows, sharpness
    )  # fmt: skip
    sun = np.maximum(normal @ light.sun, 0)
    lit = np.nonzero((sun > 0) & (light.sun_colour.max() > 0.05))[0]
    points = origins[rows[lit]] + directions[rows[lit]] * distance[lit, None]
    points = points + normal[lit] * (0.01 + 0.0005 * distance[lit, None])
    sun[lit] *= ~moment.shadowed(points, light.sun)
    leafy = hits.material[rows] == Material.LEAVES
    sun = np.where(leafy, 0.25 + 0.6 * sun, sun)  # light passes through leaves
    above = 0.5 + 0.5 * normal[:, 2:]
    seen = base * (sun[:, None] * light.sun_colour + light.ambient(above))
    seen += _mirrored(light, hits.material[rows], normal, directions[rows], cosine)
    clear = np.exp(-distance / light.haze_m)[:, None]
    radiance[rows] = seen * clear + light.horizon_colour * (1 - clear)
    return radiance


def _mirrored(
    light: Light,
    material: np.ndarray,
    normal: np.ndarray,
    direction: np.ndarray,
    cosine: np.ndarray,
) -> np.ndarray:
    """Return the sky's reflection in glass and paint (Schlick's approximation)."""
    glossy = np.where(
        material == Material.GLASS, 0.12, np.where(material == Material.PAINT, 0.04, 0.0)
    )
    rows = np.nonzero(glossy)[0]
    result = np.zeros((len(material), 3), np.float32)
    incoming = direction[rows]
    bounce = incoming - 2 * np.einsum("ij,ij->i", incoming, normal[rows])[:, None] * normal[rows]
    share = glossy[rows] + (1 - glossy[rows]) * (1 - cosine[rows]) ** 5
    dim = np.where(bounce[:, 2] > 0.05, 1.0, 0.25)  # below the horizon the street is mirrored
    result[rows] = _sky(light, bounce) * (share * dim)[:, None]
    return result


def _sky(light: Light, directions: np.ndarray) -> np.ndarray:
    up = np.clip(directions[:, 2:], 0, 1)
    blend = 1 - np.exp(-3.5 * up)
    colour = light.horizon_colour * (1 - blend) + light.sky_colour * blend
    u, v = (directions[:, k] / (directions[:, 2] + 0.12).clip(0.05) / 9 for k in (0, 1))
    cover = np.clip((fractal(u, v) - (1 - light.clouds)) * 3, 0, 1)[:, None] * np.minimum(up * 8, 1)
    colour = colour * (1 - 0.7 * cover) + np.array([0.6, 0.6, 0.62], np.float32) * cover
    glow = np.clip(directions @ light.sun, 0, 1)[:, None]
    return (colour + light.sun_colour * (0.15 * glow**8 + 2 * glow**400)).astype(np.float32)


def _develop(radiance: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Return the recorded image: lens blur, exposure, vignetting, noise, film curve."""
    soft = radiance * np.float32(0.6)
    soft[1:] += radiance[:-1] * np.float32(0.1)
    soft[:-1] += radiance[1:] * np.float32(0.1)
    soft[:, 1:] += radiance[:, :-1] * np.float32(0.1)
    soft[:, :-1] += radiance[:, 1:] * np.float32(0.1)
    soft[[0, -1]] = radiance[[0, -1]]
    soft[:, [0, -1]] = radiance[:, [0, -1]]
    rows, columns = soft.shape[:2]
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    vignette = (1 - 0.12 * (x * x + y * y)).astype(np.float32)
    metered = np.float32(0.42 / max(float(np.median(soft)), 0.08)) ** 0.5
    balance = np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32)
    exposed = soft * (vignette[..., None] * np.float32(light.gain) * metered * balance)
    curved = (exposed / (1 + 0.35 * exposed)).clip(0) ** np.float32(1 / 2.2)
    curved += rng.standard_normal(curved.shape, np.float32) * np.float32(0.014)
    return np.rint(curved * 235).clip(0, 255).astype(np.uint8)
