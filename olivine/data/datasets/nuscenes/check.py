"""Finds every fault of a nuScenes data set: of its tables, its files and its labels."""

import io
import itertools
import re
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from olivine.data.datasets.nuscenes.build import CHANNELS
from olivine.data.datasets.nuscenes.classes import official_indices
from olivine.data.datasets.nuscenes.frames import SCAN_ROW_BYTES
from olivine.data.datasets.nuscenes.links import Problem, TableLinks, check_links
from olivine.data.datasets.nuscenes.sources import version_folder
from olivine.data.datasets.nuscenes.tables import (
    LIDAR,
    CalibratedSensorRow,
    CategoryRow,
    LidarsegRow,
    SampleDataRow,
    SensorRow,
    TableRow,
    by_token,
    read_rows,
)

_FILES_AT_ONCE = 4096
Job = Callable[[], list[Problem]]


@dataclass(frozen=True)
class Report:
    """The result of a check."""

    problems: tuple[Problem, ...]
    num_files: int  # number of sensor, label and map files that were read
    num_skipped: int  # sweeps, where the data set has no folder of them


class _Map(TableRow):
    filename: str


def check(
    root: Path,
    version: str,
    num_threads: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read all tables and all files of a version and return every fault.

    Faults of tables: missing or broken ones, tokens used twice, links to missing rows, chains that
    do not lead back, wrong counts, keyframes without a channel. Faults of files: missing, empty or
    truncated ones, images that cannot be decoded or have another size, label files with a wrong
    number of labels or unknown ids, label files that no table names. Sweeps are read only if the
    data set has their folder; this project needs keyframes alone. `progress` is called with the
    number of files done and of all files. Raises UserError if the root or the version is not there.
    """
    folder = version_folder(Path(root), version)
    problems, tables = check_links(folder)
    files = _Files(Path(root), folder, tables)
    problems += files.missing_channels()
    problems += files.rows_without_labels()
    problems += files.stray_labels()
    total, done = files.num_files, 0
    jobs = files.jobs()
    with ThreadPoolExecutor(num_threads) as pool:
        while some := list(itertools.islice(jobs, min(_FILES_AT_ONCE, max(64, total // 100)))):
            for found in pool.map(lambda job: job(), some):
                problems += found
            done += len(some)
            if progress:
                progress(done, total)
    return Report(tuple(problems), done, files.num_skipped)


class _Files:
    """The files that the readable tables name."""

    def __init__(self, root: Path, folder: Path, tables: dict[str, TableLinks]):
        self._root, self._folder, self._tables = root, folder, tables
        self._channels = self._channel_of_calibration()
        self._sweeps = (root / "sweeps").is_dir()
        self._scans: dict[str, str] = {}  # LiDAR keyframe -> file
        self._positions = {token: position for position, token in enumerate(self._samples())}
        self._has = np.zeros((len(self._positions), len(CHANNELS)), np.int64)
        self.num_files = self.num_skipped = 0
        for row in self._sample_data():
            self._note(row)
        self.num_files += sum(len(tables[name]) for name in ("map", "lidarseg") if name in tables)

    def _note(self, row: SampleDataRow) -> None:
        wanted = row.is_key_frame or self._sweeps
        self.num_files += wanted
        self.num_skipped += not wanted
        channel = self._channels.get(row.calibrated_sensor_token, "")
        if row.is_key_frame and channel in CHANNELS:
            position = self._positions.get(row.sample_token)
            if position is not None:
                self._has[position, CHANNELS.index(channel)] += 1
            if channel == LIDAR:
                self._scans[row.token] = row.filename

    def jobs(self) -> Iterator[Job]:
        """Yield one function per file, which yields the file's faults."""
        for row in self._sample_data():
            if row.is_key_frame or self._sweeps:
                yield _job(_file_faults, self._root / row.filename, row.height, row.width)
        if "lidarseg" in self._tables:
            ids = self._label_ids()
            for label in read_rows(self._folder, "lidarseg", LidarsegRow):
                scan = self._scans.get(label.sample_data_token)
                scan_path = self._root / scan if scan else None
                yield _job(_label_faults, self._root / label.filename, scan_path, ids)
        if "map" in self._tables:
            for drawn in read_rows(self._folder, "map", _Map):
                yield _job(_map_faults, self._root / drawn.filename)

    def missing_channels(self) -> Iterator[Problem]:
        """Yield the keyframes that lack the LiDAR or a camera, or have it twice."""
        if "sample_data" not in self._tables:
            return
        path = self._folder / "sample_data.json"
        tokens = list(self._positions)
        for position, channel in np.argwhere(self._has != 1):
            number = self._has[position, channel]
            detail = f"sample {tokens[position]!r} has {number} keyframes of {CHANNELS[channel]}"
            yield Problem(path, "missing channel" if number == 0 else "channel twice", detail)

    def rows_without_labels(self) -> Iterator[Problem]:
        """Yield scans that lidarseg.json lacks, if it has any, and tokens of another form."""
        if "lidarseg" not in self._tables or not len(self._tables["lidarseg"]):
            return
        path, labelled = self._folder / "lidarseg.json", set()
        for row in read_rows(self._folder, "lidarseg", LidarsegRow):
            labelled.add(row.sample_data_token)
            if row.token != row.sample_data_token:
                detail = f"row {row.token!r} has the sample_data_token {row.sample_data_token!r}"
                yield Problem(path, "identities differ", f"{detail}; nuscenes-devkit needs one")
            if row.sample_data_token not in self._scans:
                yield Problem(path, "broken link", f"row {row.token!r} is of no LiDAR keyframe")
        for token, name in self._scans.items():
            if token not in labelled:
                yield Problem(path, "missing label", f"no row for the scan {name} ({token!r})")

    def stray_labels(self) -> Iterator[Problem]:
        """Yield label files that lidarseg.json does not name."""
        folder = self._root / "lidarseg" / self._folder.name
        if not folder.is_dir():
            return
        named = set()
        if "lidarseg" in self._tables:
            named = {row.filename for row in read_rows(self._folder, "lidarseg", LidarsegRow)}
        for path in sorted(folder.iterdir()):
            if path.relative_to(self._root).as_posix() not in named:
                yield Problem(path, "stray file", "lidarseg.json does not name it")

    def _sample_data(self) -> Iterator[SampleDataRow]:
        if "sample_data" not in self._tables:
            return iter(())
        return read_rows(self._folder, "sample_data", SampleDataRow)

    def _samples(self) -> list[str]:
        table = self._tables.get("sample")
        return [token.decode() for token in table["token"].tolist()] if table else []

    def _channel_of_calibration(self) -> dict[str, str]:
        if "sensor" not in self._tables or "calibrated_sensor" not in self._tables:
            return {}
        sensors = by_token(self._folder, "sensor", SensorRow)
        calibrated = by_token(self._folder, "calibrated_sensor", CalibratedSensorRow).values()
        return {
            row.token: sensors[row.sensor_token].channel
            for row in calibrated
            if row.sensor_token in sensors
        }

    def _label_ids(self) -> set[int]:
        if "category" not in self._tables:
            return set(official_indices().values())
        rows = read_rows(self._folder, "category", CategoryRow)
        return {row.index for row in rows if row.index is not None} or set(
            official_indices().values()
        )


def _job(faults: Callable[..., Iterator[tuple[str, str]]], path: Path, *args: object) -> Job:
    return lambda: [Problem(path, kind, detail) for kind, detail in faults(path, *args)]


def _file_faults(path: Path, height: int, width: int) -> Iterator[tuple[str, str]]:
    """Yield the faults of one sensor file, whose name states its format."""
    data = yield from _contents(path)
    if not data:
        return
    if path.name.endswith(".bin"):
        if len(data) % SCAN_ROW_BYTES:
            yield "truncated", f"{len(data)} bytes are no number of {SCAN_ROW_BYTES}-byte points"
        elif not np.isfinite(np.frombuffer(data, "<f4")).all():
            yield "unreadable", "a coordinate is not finite"
    elif path.suffix in (".jpg", ".jpeg", ".png"):
        yield from _image_faults(data, height, width)
    elif path.suffix == ".pcd":
        yield from _radar_faults(data)


def _image_faults(data: bytes, height: int, width: int) -> Iterator[tuple[str, str]]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        begun, ended = data.startswith(b"\xff\xd8"), data.rstrip(b"\0").endswith(b"\xff\xd9")
        kind = "truncated" if begun and not ended else "unreadable"
        yield kind, "it cannot be decoded: " + re.sub(r"<[^>]*>", "its bytes", str(error))
        return
    if image.size != (width, height):
        yield "wrong size", f"{image.size} pixels, sample_data.json says {(width, height)}"


def _radar_faults(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the faults of a .pcd, whose header states the size of its data."""
    header, mark, body = data.partition(b"DATA binary\n")
    text = header.decode("ascii", "replace").splitlines()
    lines = dict(line.split(" ", 1) for line in text if " " in line)
    try:
        sizes, counts = lines["SIZE"].split(), lines["COUNT"].split()
        row = sum(int(size) * int(count) for size, count in zip(sizes, counts, strict=True))
        expected = int(lines["POINTS"]) * row
    except (KeyError, ValueError):
        mark = b""
    if not mark:
        yield "unreadable", "it has no header of a binary .pcd"
    elif len(body) < expected:
        yield "truncated", f"{len(body)} bytes of points, its header says {expected}"


def _label_faults(path: Path, scan: Path | None, ids: set[int]) -> Iterator[tuple[str, str]]:
    data = yield from _contents(path)
    if not data:
        return
    if scan is not None and scan.is_file():
        num_points = scan.stat().st_size // SCAN_ROW_BYTES
        if len(data) != num_points:
            yield "wrong label count", f"{len(data)} labels for {num_points} points of {scan}"
    unknown = set(data) - ids
    if unknown:
        yield "unknown class", f"ids {sorted(unknown)} are not in category.json"


def _map_faults(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the faults of a map; it has 10^9 pixels, so only both ends of the PNG are read."""
    data = yield from _contents(path)
    if data and not data.startswith(b"\x89PNG\r\n\x1a\n"):
        yield "unreadable", "it is not a PNG"
    elif data and b"IEND" not in data[-16:]:
        yield "truncated", "the end of the PNG is missing"


def _contents(path: Path) -> Generator[tuple[str, str], None, bytes]:
    """Return a file's bytes; of a missing or empty file, yield the fault and return b""."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        yield "missing file", "the tables name it"
        return b""
    except OSError as error:
        yield "unreadable", str(error.strerror)
        return b""
    if not data:
        yield "empty file", "it has no bytes"
    return data
