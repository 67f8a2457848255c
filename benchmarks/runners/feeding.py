"""What does it cost to have batches made on a cluster's CPUs instead of beside the training?

    python benchmarks/runners/feeding.py [--data ../shared/data] [--processes 1] [--frames 4] \
        [--steps 40]
                                 [--step-s 0] [--rounds 3]

A real keyframe, six JPEGs and a scan, read and augmented as in OLIVINE's pretraining, in batches as
each of the paper's GPUs gets them. The in-process loader and Ray Data make the same batches, with
as many processes, one after the other in every round; each round starts them anew. Told are the
frames per second once both run (from the fourth batch on, so that Ray's first three, made while its
actors start, do not count), the time to the first and to the second batch, the largest number of
batches that wait, and the processor time that the training's own process spends on being fed: with
`--step-s`, the trainer sleeps so long on each batch, as one whose GPU works.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from benchmarks.keyframes import AUGMENTATIONS, KeyframeReader, open_keyframes, write_labels
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.loader import BatchSource, load_batches
from olivine.data.samples import Samples
from olivine.runners.on_ray.batch_source import AHEAD, AHEAD_PER_ACTOR, RayDataSource
from olivine.runners.on_ray.packed_batch import packed

WARM_STEPS = 3


@dataclass(frozen=True)
class Timing:
    """Of one round of one feed."""

    frames_per_s: float
    first_s: float
    second_s: float
    own_share: float  # of a processor, in the training's process


def timed(batches: Iterator[Batch], num_frames: int, step_s: float) -> Timing:
    """Take all batches."""
    start_s, at_s, own_s = time.perf_counter(), [], 0.0
    for _ in batches:
        at_s.append(time.perf_counter() - start_s)
        if len(at_s) == WARM_STEPS:
            own_s = time.process_time()
        time.sleep(step_s)
    own_s = time.process_time() - own_s
    took_s = at_s[-1] - at_s[WARM_STEPS - 1]
    rate = num_frames * (len(at_s) - WARM_STEPS) / took_s
    return Timing(rate, at_s[0], at_s[1], own_s / took_s)


def medians(timings: list[Timing]) -> Timing:
    """Return the median of each number."""
    columns = zip(*(vars(timing).values() for timing in timings), strict=True)
    return Timing(*map(statistics.median, columns))


def main() -> None:
    """Print a line per feed, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--step-s", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ray.init(
        num_cpus=1 + given.processes,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="warning",
    )
    with tempfile.TemporaryDirectory() as scratch:
        _, frames = next(open_keyframes(given.data, Path(scratch)))
        labels = write_labels(frames, Path(scratch, "out"))
        reader = KeyframeReader.with_labels(frames, labels)
        samples, collate = Samples(reader, AUGMENTATIONS, seed=0), Collate(Voxelizer())
        places = [
            [(step * given.frames + frame, 0) for frame in range(given.frames)]
            for step in range(given.steps)
        ]
        batch_mb = sum(map(len, packed(collate([samples[place] for place in places[0]])))) / 1e6
        feeds: dict[str, BatchSource] = {
            "in-process loader": load_batches,
            "Ray Data": RayDataSource(),
        }
        timings: dict[str, list[Timing]] = {name: [] for name in feeds}
        for _ in range(given.rounds):
            for name, feed in feeds.items():
                batches = feed(samples, places, collate, given.processes)
                timings[name].append(timed(batches, given.frames, given.step_s))
    most = AHEAD_PER_ACTOR * given.processes + AHEAD
    print(
        f"{given.frames} frames a batch of {batch_mb:.1f} MB, {given.processes} processes, "
        f"{given.rounds} rounds; of Ray Data's at most {most} wait, {most * batch_mb:.0f} MB"
    )
    middle = {name: medians(values) for name, values in timings.items()}
    for name, timing in middle.items():
        print(
            f"{name:18s} {timing.frames_per_s:6.2f} frames/s; first batch after "
            f"{timing.first_s:.2f} s, second after {timing.second_s:.2f} s; "
            f"{timing.own_share:.0%} of a processor beside the training"
        )
    here, fed = middle.values()
    print(f"Ray Data / in-process loader: {fed.frames_per_s / here.frames_per_s:.2f}")


if __name__ == "__main__":
    main()
