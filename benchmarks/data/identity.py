"""The time to identify a trainval's files, cold and warm: 204,894 images, 34,149 scans and labels.

    python -m benchmarks.data.identity FOLDER [--frames 34149] [--s3-frames 200]

Files are sparse and of the sizes of nuScenes; label files have contents, since those are read. The
folder's file system is what is measured. Cold is after the kernel's caches of names and inodes were
dropped (only root may; else it is left out). The bucket is an S3 of this machine (moto), whose
Python server takes most of the time: it shows the number of requests more than their speed.
"""

import argparse
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from olivine.core.file_stats import FolderStats
from olivine.data.identity.split import SplitFiles, SplitIdentity, SplitReader

CAMERAS = (
    "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT",
)  # fmt: skip
SCAN_BYTES, IMAGE_BYTES, LABEL_BYTES = 694_000, 150_000, 34_720
_DROP = Path("/proc/sys/vm/drop_caches")


class NamedFiles:
    """Frames of which only the names of their files are known."""

    fingerprint = "0" * 16

    def __init__(self, root: str | Path, num_frames: int):
        self.root = root
        self._tokens = [
            f"n015-2018-07-24-11-22-45+0800__{index:032x}" for index in range(num_frames)
        ]

    def scenes(self) -> list[str]:
        """Return a scene for every 40 frames."""
        return [f"scene-{index // 40:04d}" for index in range(len(self._tokens))]

    def image_names(self) -> list[str]:
        """Return six images per frame."""
        return [f"samples/{name}/{token}.jpg" for token in self._tokens for name in CAMERAS]

    def split_files(self) -> SplitFiles:
        """Return the files of all frames."""
        return SplitFiles(
            [f"samples/LIDAR_TOP/{token}.pcd.bin" for token in self._tokens],
            self.image_names(),
            [f"lidarseg/v1.0-trainval/{token}_lidarseg.bin" for token in self._tokens],
        )


def make_files(frames: NamedFiles) -> None:
    """Write the files of all frames, sparse but for the labels."""
    rng, files = np.random.default_rng(0), frames.split_files()
    sizes = ((files.scans, SCAN_BYTES), (files.images, IMAGE_BYTES))
    for folder in {Path(frames.root) / name for name in ("lidarseg/v1.0-trainval",)} | {
        Path(frames.root) / "samples" / name for name in ("LIDAR_TOP", *CAMERAS)
    }:
        folder.mkdir(parents=True)
    for names, size in sizes:
        for number, name in enumerate(names):
            with (Path(frames.root) / name).open("wb") as stream:
                stream.truncate(size + number % 1000)
    block = rng.integers(0, 32, LABEL_BYTES, dtype=np.uint8)
    for number, name in enumerate(files.point_labels):
        block[:8] = np.frombuffer(np.int64(number).tobytes(), np.uint8)
        path = Path(frames.root) / name
        path.write_bytes(block.tobytes())
        os.utime(path, (1e9, 1e9))  # labels that were unpacked long ago


def identify(frames: NamedFiles, cache: Path, *parts: str) -> tuple[float, float]:
    """Return in how many seconds, and seconds of the processor, these parts are read afresh."""
    began_s, busy_s = time.perf_counter(), time.process_time()
    stats = FolderStats(frames.root)
    reader = SplitReader(frames, cache, stats, can_be_partial=True)
    identity = SplitIdentity(frames.fingerprint, reader)
    identity.require(*parts)
    identity.of(*parts)
    return time.perf_counter() - began_s, time.process_time() - busy_s


def drop_caches() -> bool:
    """Forget what the kernel knows of files; return whether that is allowed."""
    os.sync()
    with contextlib.suppress(OSError):
        _DROP.write_text("3")
        return True
    return False


def rows(frames: NamedFiles, cache: Path) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield what was measured and the seconds that it took."""
    use: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("a pretraining: scans and images", ("scans", "images")),
        ("an evaluation: scans and point labels", ("scans", "point_labels")),
    )
    timed: Callable[..., tuple[float, float]] = identify
    for what, parts in use:
        if drop_caches():
            yield f"{what}, cold", timed(frames, cache, *parts)
        else:
            timed(frames, cache, *parts)
        yield f"{what}, warm", min(timed(frames, cache, *parts) for _ in range(3))
        if "point_labels" in parts:
            shutil.rmtree(cache / "hashes")
            yield f"{what}, warm, no hash kept", timed(frames, cache, *parts)


def bucket_rows(num_frames: int, folder: Path) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the same of an S3 on this machine."""
    from tests.support.servers.bucket_server import BUCKET, copy_to_bucket, s3_server

    local = NamedFiles(folder / "small", num_frames)
    make_files(local)
    with s3_server():
        copy_to_bucket(Path(local.root), f"s3://{BUCKET}/data")
        frames, cache = NamedFiles(f"s3://{BUCKET}/data", num_frames), folder / "s3_cache"
        yield "bucket, scans and images", identify(frames, cache, "scans", "images")
        yield "bucket, scans and point labels", identify(frames, cache, "scans", "point_labels")


def main() -> None:
    """Print a table of times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=34_149)
    parser.add_argument("--s3-frames", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        frames = NamedFiles(folder / "data", given.frames)
        make_files(frames)
        print(f"{6 * given.frames} images, {given.frames} scans and as many label files")
        for what, seconds in rows(frames, folder / "cache"):
            print(f"{seconds[0]:8.2f} s, {seconds[1]:6.2f} s of the processor: {what}")
        if given.s3_frames:
            print(f"a bucket by moto: {6 * given.s3_frames} images, {given.s3_frames} scans")
            for what, seconds in bucket_rows(given.s3_frames, folder):
                print(f"{seconds[0]:8.2f} s, {seconds[1]:6.2f} s of the processor: {what}")


if __name__ == "__main__":
    main()
