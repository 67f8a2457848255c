"""Writes a whole world as a nuScenes data set: all of it, or nothing."""

import io
import json
import multiprocessing
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.recording import (
    MAP_CELL_M,
    Drive,
    record,
    tile_m,
    truth_name,
)
from olivine.data.datasets.synthetic.export.tables import LOCATIONS, map_name, write_tables
from olivine.data.datasets.synthetic.sensors.tracing import require_embree
from olivine.data.datasets.synthetic.world.casting import location_of

MARK = "synthetic.json"  # written last: a folder that has it is whole
GENERATOR = 2  # raised whenever the same settings give another world
MAP_RESOLUTION_M = 0.1

Progress = Callable[[int, int], None]  # keyframes done, keyframes in all


def write_world(
    config: WorldConfig, root: Path, num_processes: int = 2, progress: Progress | None = None
) -> Path:
    """Write the world that `config` describes to root, and return root.

    Files are byte-equal for equal settings however many processes share the work. They are
    written to a hidden folder beside root, which is renamed at the end. Where the same world is
    already complete, nothing is done. Raises UserError if root holds anything else, and where
    embreex is not installed.
    """
    root = Path(root).absolute()
    if holds_world(config, root):
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(
            f"{root} is not empty and does not hold this synthetic world; "
            "give an empty or new folder, or remove it first."
        )
    require_embree()
    hidden = root.parent / f".{root.name}.{uuid.uuid4().hex[:8]}"
    try:
        hidden.mkdir(parents=True)
        _write(config, hidden, num_processes, progress or (lambda done, total: None))
        (hidden / MARK).write_text(json.dumps(_identity(config), indent=1))
        hidden.replace(root)
    except OSError as error:
        raise UserError(f"Cannot write a synthetic world to {root}: {error}.") from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return root


def holds_world(config: WorldConfig, root: str | Path) -> bool:
    """Say whether a folder or a bucket's URI holds exactly this world, complete."""
    store = Store(root)
    if not store.exists(MARK):
        return False
    try:
        return bool(json.loads(store.read(MARK)) == _identity(config))
    except ValueError:
        return False


def read_truth(root: str | Path, image_name: str) -> UInt8[np.ndarray, "rows columns"]:
    """Return the true class (0..15, or 255) of each pixel of an image named by its path."""
    store, name = Store(root), truth_name(image_name)
    try:
        return np.asarray(Image.open(io.BytesIO(store.read(name))))
    except (UserError, OSError):
        raise UserError(
            f"No pixel truth at {store.path(name)}; only synthetic worlds have it."
        ) from None


def _identity(config: WorldConfig) -> dict[str, object]:
    return {"generator": GENERATOR, "world": config.to_dict()}


def _write(config: WorldConfig, root: Path, num_processes: int, progress: Progress) -> None:
    drives: list[Drive] = []
    for drive in _record_all(_jobs(config, root), num_processes):
        drives.append(drive)
        keyframes = config.keyframes_per_scene
        progress(len(drives) * keyframes, config.num_scenes * keyframes)
    _write_maps(config, root, drives)
    write_tables(root, config.seed, [drive.recording for drive in drives])


Job = tuple[WorldConfig, str, tuple[float, float], Path]


def _jobs(config: WorldConfig, root: Path) -> list[Job]:
    """Return what to record, each location's scenes side by side from west to east."""
    taken = dict.fromkeys(LOCATIONS, 0)
    jobs = []
    for name in config.scene_names:
        location = location_of(name)
        jobs.append((config, name, (taken[location] * tile_m(config), 0.0), root))
        taken[location] += 1
    return jobs


def _record_all(jobs: list[Job], num_processes: int) -> Iterator[Drive]:
    if num_processes == 1:
        yield from map(_record, jobs)
        return
    # Fresh processes: a forked one would inherit locks of whatever threads this one runs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_processes, len(jobs)), mp_context=context) as pool:
        try:
            yield from pool.map(_record, jobs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _record(job: Job) -> Drive:
    return record(*job)


def _write_maps(config: WorldConfig, root: Path, drives: list[Drive]) -> None:
    """Write one mask per location, 0.1 m a pixel, 255 on roads and walks."""
    (root / "maps").mkdir()
    repeat = round(MAP_CELL_M / MAP_RESOLUTION_M)
    for location in LOCATIONS:
        tiles = [drive.walkable for drive in drives if drive.recording.location == location]
        mask = np.concatenate(tiles, axis=1) if tiles else np.zeros((64, 64), bool)
        fine = np.repeat(np.repeat(mask, repeat, axis=0), repeat, axis=1)
        image = Image.fromarray(fine.astype(np.uint8) * 255)
        image.save(root / map_name(config.seed, location), compress_level=1)
