"""Drives through a scene and writes the sensors' data, keyframe by keyframe."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from olivine.data.datasets.synthetic.config import SCENE_NAMES, WorldConfig, seeded_generator
from olivine.data.datasets.synthetic.export.tables import (
    Box,
    Keyframe,
    Reading,
    Recording,
    file_name,
    lidarseg_name,
)
from olivine.data.datasets.synthetic.rig import KEYFRAME_S, Rig, rig_of
from olivine.data.datasets.synthetic.sensors.camera import RenderedImage, render_image
from olivine.data.datasets.synthetic.sensors.lidar import SimulatedScan, simulate_scan
from olivine.data.datasets.synthetic.sensors.tracing import Moment, StillWorld
from olivine.data.datasets.synthetic.world.casting import grow_scene, promised
from olivine.data.datasets.synthetic.world.scene import Actor, Scene
from olivine.data.datasets.synthetic.world.street import Ground
from olivine.data.datasets.synthetic.world.taxonomy import CATEGORY_NAMES, Category
from olivine.data.geometry.rigid import transform

ANNOTATED_M = 80.0  # objects farther away have no box
MAP_CELL_M = 0.5
MOST_GROWTHS = 6
PROBE_FIRINGS, PROMISED_POINTS = 240, 10  # of two test scans, and the points that must be met
NUM_SAMPLES = 24  # surface points of an object by which its visibility is estimated
_SINGAPORE, _BOSTON = timezone(timedelta(hours=8)), timezone(timedelta(hours=-4))


@dataclass(frozen=True)
class Drive:
    """One recorded scene and the part of the map that it covers."""

    recording: Recording
    walkable: Bool[np.ndarray, "rows columns"]  # roads and walks, row 0 at the north edge


def tile_m(config: WorldConfig) -> float:
    """Return the side of the square of map that one scene takes."""
    return 50.0 * np.ceil((2 * (12.0 * config.keyframes_per_scene * KEYFRAME_S + 140.0)) / 50.0)


def record(config: WorldConfig, name: str, origin_m: tuple[float, float], root: Path) -> Drive:
    """Write the files of one scene below root; `origin_m` is the south-west corner of its tile."""
    world = _promising_world(config, name)
    scene, rig = world.scene, rig_of(world.scene.vehicle, config)
    offset = np.array([origin_m[0] + tile_m(config) / 2, origin_m[1] + tile_m(config) / 2, 0.0])
    logfile, date, start_us = _log(scene, config)
    session = _Session(config, world, rig, logfile, start_us, offset, root)
    keyframes = tuple(_keyframe(session, number) for number in range(config.keyframes_per_scene))
    size = (config.image_height_px, config.image_width_px)
    recording = Recording(
        name, scene.description, scene.location, logfile, date, rig, size, keyframes
    )
    return Drive(recording, _walkable(scene, tile_m(config)))


def _promising_world(config: WorldConfig, name: str) -> StillWorld:
    """Return the first attempt at a scene in which the LiDAR meets the scene's promised categories.

    An object may be there and yet be hidden all the time, and a split without a class could not be
    evaluated on that class.
    """
    duration = (config.keyframes_per_scene - 1) * KEYFRAME_S
    for attempt in range(MOST_GROWTHS):
        world = StillWorld(grow_scene(config, name, attempt))
        rig = rig_of(world.scene.vehicle, config)
        probes = [
            simulate_scan(
                world, rig, time_s, PROBE_FIRINGS, seeded_generator(config.seed, name, "probe")
            )
            for time_s in (0.0, duration)
        ]
        met = np.bincount(np.concatenate([p.category for p in probes]), minlength=32)
        if min(met[list(promised(name))]) >= PROMISED_POINTS:
            break
    return world


def _log(scene: Scene, config: WorldConfig) -> tuple[str, str, int]:
    """Return log file name, date and the first keyframe's time in microseconds."""
    zone = _SINGAPORE if scene.location.startswith("singapore") else _BOSTON
    index = SCENE_NAMES.index(scene.name)
    moment = datetime(2018, 7, 2, 9, 20, 10, tzinfo=zone) + timedelta(
        days=3 * index, minutes=17 * index
    )
    text = moment.strftime("%Y-%m-%d-%H-%M-%S%z")
    return f"{scene.vehicle}-{text}", moment.strftime("%Y-%m-%d"), int(moment.timestamp() * 1e6)


@dataclass(frozen=True)
class _Session:
    """What all keyframes of one scene share."""

    config: WorldConfig
    world: StillWorld
    rig: Rig
    logfile: str
    start_us: int  # clock time of scene time zero
    offset_m: Float[np.ndarray, " 3"]  # from the scene's frame to the map's
    root: Path


def _keyframe(session: _Session, number: int) -> Keyframe:
    config, scene, rig = session.config, session.world.scene, session.rig
    rng = seeded_generator(config.seed, scene.name, "timing", number)
    time_us = int(1e6 * KEYFRAME_S * number + rng.normal(0, 4000) * (number > 0))
    readings = [_reading(session, "LIDAR_TOP", time_us)]
    noise = seeded_generator(config.seed, scene.name, "LIDAR_TOP", number)
    sweep = simulate_scan(session.world, rig, time_us / 1e6, config.num_firings, noise)
    labels = lidarseg_name(config.seed, scene.name, number)
    name = file_name(session.logfile, "LIDAR_TOP", readings[0].time_us)
    _write_scan(session.root, sweep, name, labels)
    for mount in rig.cameras:
        at_us = time_us + int(1e6 * (mount.delay_s + rng.uniform(-0.002, 0.002)))
        noise = seeded_generator(config.seed, scene.name, mount.name, number)
        size = (config.image_height_px, config.image_width_px)
        picture = render_image(session.world, mount, at_us / 1e6, size, noise)
        readings.append(_reading(session, mount.name, at_us))
        name = file_name(session.logfile, mount.name, readings[-1].time_us)
        _write_picture(session, name, picture)
    return Keyframe(tuple(readings), _boxes(session, sweep, time_us / 1e6))


def _reading(session: _Session, channel: str, time_us: int) -> Reading:
    scene = session.world.scene
    pose = scene.ego.pose(scene.street, time_us / 1e6)
    place = tuple((pose[:3, 3] + session.offset_m).tolist())
    return Reading(channel, session.start_us + time_us, place, _quaternion(pose[:3, :3]))


def _write_scan(root: Path, sweep: SimulatedScan, scan_name: str, labels_name: str) -> None:
    rows = np.column_stack([sweep.xyz_m, sweep.intensity, sweep.ring]).astype("<f4")
    for name, data in ((scan_name, rows.tobytes()), (labels_name, sweep.category.tobytes())):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write_picture(session: _Session, name: str, picture: RenderedImage) -> None:
    path, truth = session.root / name, session.root / truth_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    quality = session.config.jpeg_quality
    Image.fromarray(picture.rgb).save(path, quality=quality, subsampling="4:2:0")
    Image.fromarray(picture.class_ids).save(truth, compress_level=3)


def truth_name(image_name: str) -> str:
    """Return the path, below the root, of the true classes of an image's pixels."""
    return f"truth/{image_name}.png"


def _boxes(session: _Session, sweep: SimulatedScan, time_s: float) -> tuple[Box, ...]:
    """Annotate objects within 80 m that a point hit or that the LiDAR could see."""
    world, scene, rig = session.world, session.world.scene, session.rig
    scene_SE3_lidar = scene.ego.pose(scene.street, time_s) @ rig.lidar.ego_SE3_sensor
    kept = sweep.category != Category.NOISE
    points = transform(scene_SE3_lidar, sweep.xyz_m[kept].astype(float))
    eye = scene_SE3_lidar[:3, 3]
    poses = {
        number: world.pose(number, time_s)
        for number, actor in enumerate(scene.actors)
        if actor.present(scene.street, time_s)
    }
    placed = {
        number: pose
        for number, pose in poses.items()
        if np.linalg.norm(pose[0][:2] - eye[:2]) < ANNOTATED_M
    }
    visible = _visible_shares(world.at(time_s), placed, eye)
    boxes = []
    for number, (place, yaw) in placed.items():
        actor = scene.actors[number]
        centre, size = _extent(actor, place, yaw)
        count = _count_inside(points, centre, yaw, size)
        if count or visible[number] > 0:
            level = 1 + int(np.searchsorted((0.4, 0.6, 0.8), visible[number], "right"))
            boxes.append(
                Box(
                    number, CATEGORY_NAMES[actor.category], _attribute(actor, time_s), str(level),
                    tuple((centre + session.offset_m).tolist()), tuple(size.tolist()),
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
    return place + np.array([c * x - s * y, s * x + c * y, z]), np.array([width, length, height])


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


def _visible_shares(
    moment: Moment, placed: dict[int, tuple[np.ndarray, float]], eye: np.ndarray
) -> dict[int, float]:
    """Return the share of each object's surface points that the LiDAR sees unhidden."""
    samples = []
    for number, pose in placed.items():
        mesh = moment.scene.actors[number].mesh
        picks = np.linspace(0, len(mesh) - 1, NUM_SAMPLES).astype(int)
        samples.append(mesh.rows(picks).moved(*pose).corners_m.mean(axis=1))
    if not samples:
        return {}
    rays = np.concatenate(samples) - eye
    distance = np.linalg.norm(rays, axis=1)
    hits = moment.cast(np.broadcast_to(eye, rays.shape), rays / distance[:, None], ANNOTATED_M + 20)
    own = hits.body == np.repeat(list(placed), NUM_SAMPLES)
    seen = (own | (hits.distance_m > distance - 0.1)).reshape(-1, NUM_SAMPLES).mean(axis=1)
    return dict(zip(placed, seen.tolist(), strict=True))


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
