"""Drives through a scene and writes what the sensors see, keyframe by keyframe."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from olivine.datasets.synthetic.camera import render
from olivine.datasets.synthetic.casting import grow_scene
from olivine.datasets.synthetic.config import SCENE_NAMES, WorldConfig, generator
from olivine.datasets.synthetic.lidar import Scan, scan
from olivine.datasets.synthetic.rig import KEYFRAME_S, Rig, rig_of
from olivine.datasets.synthetic.scene import Actor, Scene
from olivine.datasets.synthetic.street import Ground
from olivine.datasets.synthetic.tables import (
    Box,
    Keyframe,
    Reading,
    Recording,
    file_name,
    lidarseg_name,
)
from olivine.datasets.synthetic.taxonomy import CATEGORY_NAMES, Category
from olivine.datasets.synthetic.tracing import Moment, StillWorld
from olivine.geometry.rigid import transform

ANNOTATED_M = 80.0  # objects farther away have no box
MAP_CELL_M = 0.5
_SINGAPORE, _BOSTON = timezone(timedelta(hours=8)), timezone(timedelta(hours=-4))


@dataclass(frozen=True)
class Drive:
    """One recorded scene and the piece of map it covers."""

    recording: Recording
    walkable: Bool[np.ndarray, "rows columns"]  # roads and walks, row 0 at the north edge


def tile_m(config: WorldConfig) -> float:
    """Return the edge of the square of map that one scene takes."""
    return 50.0 * np.ceil((2 * (12.0 * config.keyframes_per_scene * KEYFRAME_S + 140.0)) / 50.0)


def record(config: WorldConfig, name: str, origin_m: tuple[float, float], root: Path) -> Drive:
    """Write one scene's files below root; `origin_m` is its tile's south-west corner."""
    scene = grow_scene(config, name)
    world, rig = StillWorld(scene), rig_of(scene.vehicle, config)
    offset = np.array([*origin_m, 0.0]) + (tile_m(config) / 2, tile_m(config) / 2, 0.0)
    logfile, date, start_us = _log(scene, config)
    keyframes = tuple(
        _keyframe(config, world, rig, number, (logfile, start_us), offset, root)
        for number in range(config.keyframes_per_scene)
    )
    size = (config.image_height_px, config.image_width_px)
    recording = Recording(
        name, scene.description, scene.location, logfile, date, rig, size, keyframes
    )
    return Drive(recording, _walkable(scene, tile_m(config)))


def _log(scene: Scene, config: WorldConfig) -> tuple[str, str, int]:
    """Return log file name, date and the first keyframe's time in microseconds."""
    zone = _SINGAPORE if scene.location.startswith("singapore") else _BOSTON
    index = SCENE_NAMES.index(scene.name)
    moment = datetime(2018, 7, 2, 9, 20, 10, tzinfo=zone) + timedelta(
        days=3 * index, minutes=17 * index
    )
    text = moment.strftime("%Y-%m-%d-%H-%M-%S%z")
    return f"{scene.vehicle}-{text}", moment.strftime("%Y-%m-%d"), int(moment.timestamp() * 1e6)


def _keyframe(
    config: WorldConfig,
    world: StillWorld,
    rig: Rig,
    number: int,
    log: tuple[str, int],
    offset_m: np.ndarray,
    root: Path,
) -> Keyframe:
    scene, (logfile, start_us) = world.scene, log
    rng = generator(config.seed, scene.name, "timing", number)
    time_us = int(1e6 * KEYFRAME_S * number + rng.normal(0, 4000) * (number > 0))
    readings = [_reading(scene, "LIDAR_TOP", time_us, start_us, offset_m)]
    noise = generator(config.seed, scene.name, "LIDAR_TOP", number)
    sweep = scan(world, rig, time_us / 1e6, config.num_firings, noise)
    _write_scan(root, sweep, file_name(logfile, "LIDAR_TOP", start_us + time_us),
                lidarseg_name(config.seed, scene.name, number))  # fmt: skip
    for mount in rig.cameras:
        at_us = time_us + int(1e6 * (mount.delay_s + rng.uniform(-0.002, 0.002)))
        noise = generator(config.seed, scene.name, mount.name, number)
        size = (config.image_height_px, config.image_width_px)
        picture = render(world, mount, at_us / 1e6, size, noise)
        name = file_name(logfile, mount.name, start_us + at_us)
        _write_picture(root, name, picture.rgb, picture.class_ids, config.jpeg_quality)
        readings.append(_reading(scene, mount.name, at_us, start_us, offset_m))
    boxes = _boxes(world, rig, sweep, time_us / 1e6, offset_m)
    return Keyframe(tuple(readings), boxes)


def _reading(
    scene: Scene, channel: str, time_us: int, start_us: int, offset_m: np.ndarray
) -> Reading:
    pose = scene.ego.pose(scene.street, time_us / 1e6)
    place = pose[:3, 3] + offset_m
    return Reading(channel, start_us + time_us, tuple(place.tolist()), _quaternion(pose[:3, :3]))


def _write_scan(root: Path, sweep: Scan, scan_name: str, labels_name: str) -> None:
    rows = np.column_stack([sweep.xyz_m, sweep.intensity, sweep.ring]).astype("<f4")
    for name, data in ((scan_name, rows.tobytes()), (labels_name, sweep.category.tobytes())):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write_picture(
    root: Path, name: str, rgb: np.ndarray, class_ids: np.ndarray, quality: int
) -> None:
    path, truth = root / name, truth_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=quality, subsampling="4:2:0")
    Image.fromarray(class_ids).save(truth, compress_level=3)


def truth_path(root: Path, image_name: str) -> Path:
    """Return where the true classes of an image's pixels lie."""
    return root / "truth" / f"{image_name}.png"


def _boxes(
    world: StillWorld, rig: Rig, sweep: Scan, time_s: float, offset_m: np.ndarray
) -> tuple[Box, ...]:
    """Annotate objects within 80 m that a point hit or that the LiDAR could see."""
    scene = world.scene
    scene_SE3_lidar = scene.ego.pose(scene.street, time_s) @ rig.lidar.ego_SE3_sensor
    kept = sweep.category != Category.NOISE
    points = transform(scene_SE3_lidar, sweep.xyz_m[kept].astype(float))
    moment, eye = world.at(time_s), scene_SE3_lidar[:3, 3]
    boxes = []
    for number, actor in enumerate(scene.actors):
        place, yaw = actor.pose(scene.street, time_s)
        near = np.linalg.norm(place[:2] - eye[:2]) < ANNOTATED_M
        if not (near and actor.present(scene.street, time_s)):
            continue
        centre, size = _extent(actor, place, yaw)
        count = _count_inside(points, centre, yaw, size)
        visible = _visible_share(moment, actor, number, (place, yaw), eye)
        if count or visible > 0:
            boxes.append(
                Box(
                    number, CATEGORY_NAMES[actor.category], _attribute(actor, time_s),
                    str(min(4, 1 + int(np.searchsorted((0.4, 0.6, 0.8), visible, "right")))),
                    tuple((centre + offset_m).tolist()), tuple(size.tolist()),
                    (float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))), count,
                )
            )  # fmt: skip
    return tuple(boxes)


def _extent(actor: Actor, place: np.ndarray, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Return centre in the scene and size (width, length, height) of an object's box."""
    low, high = actor.mesh.corners_m.min(axis=(0, 1)), actor.mesh.corners_m.max(axis=(0, 1))
    middle, (length, width, height) = ((low + high) / 2).astype(float), (high - low).astype(float)
    c, s = np.cos(yaw), np.sin(yaw)
    x, y, z = middle
    return place + (c * x - s * y, s * x + c * y, z), np.array([width, length, height])


def _count_inside(
    points_m: Float[np.ndarray, "N 3"], centre: np.ndarray, yaw: float, size: np.ndarray
) -> int:
    """Count points in a box, as nuscenes-devkit's points_in_box does."""
    offset = points_m - centre
    near = offset[(np.abs(offset) < size.sum()).all(axis=1)]
    c, s = np.cos(yaw), np.sin(yaw)
    along, across = c * near[:, 0] + s * near[:, 1], -s * near[:, 0] + c * near[:, 1]
    local = np.abs(np.column_stack([across, along, near[:, 2]]))
    return int((local <= size / 2).all(axis=1).sum())


def _visible_share(
    moment: Moment, actor: Actor, number: int, pose: tuple[np.ndarray, float], eye: np.ndarray
) -> float:
    """Return which share of an object's surface points nothing else hides from the LiDAR's place."""
    corners = actor.mesh.moved(*pose).corners_m
    picks = np.linspace(0, len(corners) - 1, min(len(corners), 24)).astype(int)
    rays = corners[picks].mean(axis=1) - eye
    distance = np.linalg.norm(rays, axis=1)
    hits = moment.cast(np.broadcast_to(eye, rays.shape), rays / distance[:, None], ANNOTATED_M + 20)
    return float(((hits.body == number) | (hits.distance_m > distance - 0.1)).mean())


def _attribute(actor: Actor, time_s: float) -> str:
    moving = actor.pace is not None and actor.pace.speed(time_s) > 0.3
    if actor.category in (Category.ADULT, Category.CHILD, Category.WORKER):
        return "pedestrian.moving" if moving else "pedestrian.standing"
    if actor.category in (Category.BICYCLE, Category.MOTORCYCLE):
        return "cycle.with_rider" if actor.ridden else "cycle.without_rider"
    if actor.category in (Category.BARRIER, Category.CONE):
        return ""
    if moving:
        return "vehicle.moving"
    return "vehicle.parked" if actor.parked else "vehicle.stopped"


def _walkable(scene: Scene, tile: float) -> np.ndarray:
    """Return where the map's semantic prior is set: roads and walks."""
    cells = round(tile / MAP_CELL_M)
    axis = (np.arange(cells) + 0.5) * MAP_CELL_M - tile / 2
    xy = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1)
    st = scene.street.st(xy)
    (s0, s1), (t0, t1) = scene.street.s_range_m, scene.street.t_range_m
    inside = (st[..., 0] > s0) & (st[..., 0] < s1) & (st[..., 1] > t0) & (st[..., 1] < t1)
    kinds = scene.street.kind(st[..., 0], st[..., 1])
    return inside & np.isin(kinds, (Ground.ROAD, Ground.LOT, Ground.SIDEWALK, Ground.PLAZA))


def _quaternion(rotation: np.ndarray) -> tuple[float, ...]:
    """Return w, x, y, z of a rotation matrix: the eigenvector of its largest eigenvalue.

    Bar-Itzhack, New method for extracting the quaternion from a rotation matrix (2000).
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    symmetric = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    vector = np.linalg.eigh(symmetric)[1][:, -1]
    return tuple((vector * (1 if vector[0] >= 0 else -1)).tolist())
