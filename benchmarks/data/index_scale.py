"""Time and memory to open nuScenes v1.0-trainval: our index beside nuscenes-devkit.

Writes tables of that size (34,149 samples; 2,631,083 rows each of sample_data and ego_pose;
1,166,187 annotations; 34,149 label files) with invented but realistic contents, then opens them
in one process after another: the first indexing, a later start, the devkit. Linux only, 4 GB of
disk, 3 minutes without the devkit. The tables were just written, so no disk is measured.

    python benchmarks/data/index_scale.py [--scale 0.1] [--no-devkit] [--folder DIR]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

NUM_SCENES = 850
NUM_SAMPLES = 34_149
NUM_SAMPLE_DATA = 2_631_083
NUM_ANNOTATIONS = 1_166_187
NUM_INSTANCES = 64_386
VERSION = "v1.0-trainval"
CAMERAS = ("FRONT", "FRONT_RIGHT", "BACK_RIGHT", "BACK", "BACK_LEFT", "FRONT_LEFT")
RADARS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK_LEFT", "BACK_RIGHT")
CHANNELS = ("LIDAR_TOP", *(f"CAM_{n}" for n in CAMERAS), *(f"RADAR_{n}" for n in RADARS))
SWEEPS = (9, *(5,) * 6, 6, *(5,) * 4)  # files between two keyframes; 1,610 more for the LiDAR
DEVKIT_LIMIT_BYTES = 14 << 30

# What a process imports and what it then calls, timed apart.
OURS = (
    "from pathlib import Path; from olivine.data.datasets.nuscenes import Nuscenes, frames",
    "assert Nuscenes(version={version!r}, split='all', scene_step={step})"
    ".open(Path({root!r}), Path({cache!r}))",
)
DEVKIT = (
    "from nuscenes.nuscenes import NuScenes",
    "assert NuScenes({version!r}, {root!r}, verbose=False).sample",
)
MEASURED = """
import time
{imports}
began = time.perf_counter()
{call}
seconds = time.perf_counter() - began
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(seconds, int(peak) * 1024)
"""


def tokens(rng: np.random.Generator, num: int) -> list[str]:
    """Return random 32-digit identities."""
    text = rng.bytes(16 * num).hex()
    return [text[start : start + 32] for start in range(0, 32 * num, 32)]


def write_table(folder: Path, name: str, rows: Iterator[str] | list[dict]) -> None:
    """Write one table as nuScenes does, each field on its own line."""
    with (folder / f"{name}.json").open("w") as stream:
        if isinstance(rows, list):
            json.dump(rows, stream, indent=0)
            return
        stream.write("[\n")
        for number, row in enumerate(rows):
            stream.write(f",\n{row}" if number else row)
        stream.write("\n]")


class World:
    """The rows of all tables, made one after another."""

    def __init__(self, scale: float):
        self.rng = np.random.default_rng(0)
        self.num_scenes = max(2, round(NUM_SCENES * scale))
        per_scene = np.full(self.num_scenes, NUM_SAMPLES // NUM_SCENES)
        extra = round((NUM_SAMPLES / NUM_SCENES - per_scene[0]) * self.num_scenes)
        per_scene[:extra] += 1
        self.num_samples = int(per_scene.sum())
        self.first = np.concatenate([[0], np.cumsum(per_scene)])
        self.scene_of = np.repeat(np.arange(self.num_scenes), per_scene)
        self.scene_tokens = tokens(self.rng, self.num_scenes)
        self.sample_tokens = tokens(self.rng, self.num_samples)
        self.calibrated = tokens(self.rng, self.num_scenes * len(CHANNELS))
        self.lidar_keyframes: list[str] = []
        self.extra_lidar = (
            NUM_SAMPLE_DATA - NUM_SAMPLES * (sum(SWEEPS) + len(CHANNELS)) if scale == 1 else 0
        )

    def neighbours(self, sample: int) -> tuple[str, str]:
        """Return the previous and the next sample of the scene, or ""."""
        names, scene = self.sample_tokens, self.scene_of[sample]
        first, last = self.first[scene], self.first[scene + 1] - 1
        return (
            names[sample - 1] if sample > first else "",
            names[sample + 1] if sample < last else "",
        )

    def sample_data(self) -> Iterator[tuple[str, str]]:
        """Yield one row of sample_data and its ego pose."""
        for scene in range(self.num_scenes):
            for channel, name in enumerate(CHANNELS):
                yield from self._channel(scene, channel, name)

    def _channel(self, scene: int, channel: int, name: str) -> Iterator[tuple[str, str]]:
        extension = ("pcd.bin", *("jpg",) * 6, *("pcd",) * 5)[channel]
        height, width = (900, 1600) if name.startswith("CAM") else (0, 0)
        calibrated = self.calibrated[scene * len(CHANNELS) + channel]
        files = []
        for sample in range(self.first[scene], self.first[scene + 1]):
            more = channel == 0 and sample < self.extra_lidar
            files += [(sample, k == 0) for k in range(1 + SWEEPS[channel] + more)]
        names = ["", *tokens(self.rng, len(files)), ""]
        if channel == 0:
            self.lidar_keyframes += [
                token for token, (_, key) in zip(names[1:-1], files, strict=True) if key
            ]
        numbers = self.rng.normal(size=(len(files), 6)).tolist()
        for place, (sample, key) in enumerate(files):
            token, (w, x, y, z, east, north) = names[place + 1], numbers[place]
            stamp = 1532402927612460 + scene * 20_000_000 + place * 50_000
            folder = "samples" if key else "sweeps"
            path = f"{folder}/{name}/n015-2018-07-24-11-22-45+0800__{name}__{stamp}.{extension}"
            yield (
                f'{{\n"token": "{token}",\n"sample_token": "{self.sample_tokens[sample]}",\n'
                f'"ego_pose_token": "{token}",\n'
                f'"calibrated_sensor_token": "{calibrated}",\n'
                f'"timestamp": {stamp},\n"fileformat": "{extension[:3]}",\n'
                f'"is_key_frame": {"true" if key else "false"},\n"height": {height},\n'
                f'"width": {width},\n"filename": "{path}",\n"prev": "{names[place]}",\n'
                f'"next": "{names[place + 2]}"\n}}',
                f'{{\n"token": "{token}",\n"timestamp": {stamp},\n'
                f'"rotation": [\n{w},\n{x},\n{y},\n{z}\n],\n'
                f'"translation": [\n{1000 + 100 * east},\n{1500 + 100 * north},\n0.0\n]\n}}',
            )

    def annotations(self, scale: float) -> Iterator[str]:
        """Yield boxes, several instances per scene."""
        num = round(NUM_ANNOTATIONS * scale)
        names = tokens(self.rng, num)
        numbers = self.rng.normal(size=(num, 5)).tolist()
        for place, token in enumerate(names):
            east, north, up, w, z = numbers[place]
            yield (
                f'{{\n"token": "{token}",\n'
                f'"sample_token": "{self.sample_tokens[place % self.num_samples]}",\n'
                f'"instance_token": "{self.instances[place % len(self.instances)]}",\n'
                f'"visibility_token": "4",\n"attribute_tokens": [\n"{"a" * 32}"\n],\n'
                f'"translation": [\n{1000 + 100 * east},\n{1500 + 100 * north},\n{up}\n],\n'
                f'"size": [\n1.9,\n4.6,\n1.7\n],\n"rotation": [\n{w},\n0.0,\n0.0,\n{z}\n],\n'
                '"prev": "",\n"next": "",\n"num_lidar_pts": 5,\n"num_radar_pts": 1\n}'
            )


def write_world(root: Path, scale: float) -> None:
    """Write all tables, the label files and a map below `root`."""
    world, folder = World(scale), root / VERSION
    folder.mkdir(parents=True)
    _write_files(folder, world)
    _write_scenes(folder, world)
    _write_rig(folder, world)
    _write_names(root, world)
    world.instances = tokens(world.rng, max(1, round(NUM_INSTANCES * scale)))
    link = {"category_token": f"{17:032x}", "nbr_annotations": 18}
    link |= {"first_annotation_token": "", "last_annotation_token": ""}
    write_table(folder, "instance", [{"token": token, **link} for token in world.instances])
    write_table(folder, "sample_annotation", world.annotations(scale))


def _write_files(folder: Path, world: World) -> None:
    with (folder / "ego_pose.json").open("w") as poses:
        poses.write("[\n")
        first = True

        def rows() -> Iterator[str]:
            nonlocal first
            for row, pose in world.sample_data():
                poses.write(pose if first else f",\n{pose}")
                first = False
                yield row

        write_table(folder, "sample_data", rows())
        poses.write("\n]")


def _write_scenes(folder: Path, world: World) -> None:
    samples = []
    for place, token in enumerate(world.sample_tokens):
        previous, following = world.neighbours(place)
        scene = world.scene_tokens[world.scene_of[place]]
        row = {"token": token, "timestamp": 1532402927647951 + place * 500_000}
        samples.append({**row, "prev": previous, "next": following, "scene_token": scene})
    write_table(folder, "sample", samples)
    scenes = []
    for number, token in enumerate(world.scene_tokens):
        first, last = world.first[number], world.first[number + 1]
        row = {"token": token, "log_token": "1" * 32, "nbr_samples": int(last - first)}
        row["first_sample_token"] = world.sample_tokens[first]
        row["last_sample_token"] = world.sample_tokens[last - 1]
        scenes.append({**row, "name": f"scene-{number + 1:04d}", "description": "Invented"})
    write_table(folder, "scene", scenes)


def _write_rig(folder: Path, world: World) -> None:
    def modality(name: str) -> str:
        return {"L": "lidar", "C": "camera", "R": "radar"}[name[0]]

    sensors = [
        {"token": f"{number:032x}", "channel": name, "modality": modality(name)}
        for number, name in enumerate(CHANNELS)
    ]
    write_table(folder, "sensor", sensors)
    pinhole = [[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
    rows = []
    for number, token in enumerate(world.calibrated):
        channel = number % len(CHANNELS)
        row = {"token": token, "sensor_token": f"{channel:032x}"}
        row |= {"translation": [1.7, 0.01, 1.5], "rotation": [0.4998, -0.503, 0.4998, -0.4974]}
        row["camera_intrinsic"] = pinhole if CHANNELS[channel].startswith("CAM") else []
        rows.append(row)
    write_table(folder, "calibrated_sensor", rows)


def _write_names(root: Path, world: World) -> None:
    from olivine.data.datasets.nuscenes.classes import FINE_CLASSES

    folder = root / VERSION
    categories = [
        {"token": f"{index:032x}", "name": name, "description": "", "index": index}
        for index, (name, _) in enumerate(FINE_CLASSES)
    ]
    write_table(folder, "category", categories)
    attribute = {"token": "a" * 32, "name": "vehicle.moving", "description": ""}
    write_table(folder, "attribute", [attribute])
    visibility = {"token": "4", "level": "v80-100", "description": ""}
    write_table(folder, "visibility", [visibility])
    log = {"token": "1" * 32, "logfile": "n015-2018-07-24-11-22-45+0800", "vehicle": "n015"}
    log |= {"date_captured": "2018-07-24", "location": "singapore-onenorth"}
    write_table(folder, "log", [log])
    row = {"category": "semantic_prior", "token": "2" * 32, "filename": f"maps/{'2' * 32}.png"}
    write_table(folder, "map", [{**row, "log_tokens": ["1" * 32]}])
    (root / "maps").mkdir()
    (root / "maps" / f"{'2' * 32}.png").touch()
    labels = root / "lidarseg" / VERSION
    labels.mkdir(parents=True)
    rows = []
    for token in world.lidar_keyframes:
        name = f"lidarseg/{VERSION}/{token}_lidarseg.bin"
        rows.append({"token": token, "sample_data_token": token, "filename": name})
        (root / name).touch()
    write_table(folder, "lidarseg", rows)


def measure(
    run: tuple[str, str], place: dict, limit_bytes: int | None = None
) -> tuple[float, float, float] | str:
    """Return seconds of the call, seconds of the whole process and peak GB; or why it failed."""
    program = MEASURED.format(imports=run[0], call=run[1].format(**place))

    def limit() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))

    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    whole = time.perf_counter() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended by signal {-done.returncode}"
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), whole, int(peak) / 1e9


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1 is v1.0-trainval")
    parser.add_argument("--no-devkit", action="store_true", help="it needs some 10 GB")
    parser.add_argument("--folder", type=Path, help="where the temporary tables go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        root = Path(temporary, "nuscenes")
        began = time.perf_counter()
        write_world(root, args.scale)
        size = sum(path.stat().st_size for path in (root / VERSION).iterdir())
        print(f"wrote {size / 1e9:.2f} GB of tables in {time.perf_counter() - began:.0f} s")
        place = {"version": VERSION, "root": str(root), "cache": str(Path(temporary, "cache"))}
        every, few = {**place, "step": 1}, {**place, "step": 100 if args.scale == 1 else 1}
        runs = {
            "olivine, first start": measure(OURS, every),
            "olivine, later start": measure(OURS, every),
            "olivine, later, 1 %": measure(OURS, few),
        }
        if not args.no_devkit:
            runs["nuscenes-devkit"] = measure(DEVKIT, place, DEVKIT_LIMIT_BYTES)
        report(runs)


def report(runs: dict[str, tuple[float, float, float] | str]) -> None:
    """Print one line per start; time against the devkit's, where it was measured."""
    devkit = runs.get("nuscenes-devkit")
    head = f"{'':22}{'open s':>8}{'process s':>11}{'peak GB':>9}"
    print(f"{head}   devkit / ours: {'open':>6}{'process':>9}{'memory':>8}")
    for name, run in runs.items():
        if isinstance(run, str):
            print(f"{name:22}failed: {run}")
            continue
        line = f"{name:22}{run[0]:8.2f}{run[1]:11.2f}{run[2]:9.2f}"
        if isinstance(devkit, tuple):
            by = [theirs / ours for theirs, ours in zip(devkit, run, strict=True)]
            line += f"{'':18}{by[0]:6.1f}{by[1]:9.1f}{by[2]:8.1f}"
        print(line)


if __name__ == "__main__":
    main()
