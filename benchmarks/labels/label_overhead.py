"""What Ray costs a labelling job: images per second beside what its actors could do at best.

A labeller that sleeps stands in for a GPU. The ideal is actors × batch / sleep; the job is
everything from `label_on_ray` to its last map on disk: listing, planning, starting the actors,
reading and decoding, labelling, writing, and the look at the labels at the end. Ray's own start is
told apart. All names stand for one file, which is small by default: two cores cannot decode large
ones as fast as two stand-ins ask for them.

    python benchmarks/labels/label_overhead.py [--batches 520] [--seconds 1] [--size 160x90]
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.labels.numbered_images import NumberedImages, Sleeper, write_image
from olivine.core.runtime import Runtime
from olivine.labels.config import LabelConfig
from olivine.runners.on_ray.label import label_on_ray
from olivine.runners.on_ray.session import ray_session
from olivine.tracking.tracker import NullTracker


def main() -> None:
    """Make images, label them and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=520)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one batch")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--size", default="160x90", help="columns x rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="label_overhead") as folder:
        _measure(Path(folder), arguments)


def _measure(folder: Path, arguments: argparse.Namespace) -> None:
    num_images = arguments.batches * arguments.batch_size
    write_image(folder / "data", *map(int, arguments.size.split("x")))
    runtime = Runtime(
        data_root=str(folder / "data"),
        out=str(folder / "out"),
        cache_dir=str(folder / "cache"),
        num_label_actors=arguments.actors,
        min_label_actors=arguments.actors,
        label_batch_size=arguments.batch_size,
    )
    config = LabelConfig(
        dataset=NumberedImages(num_images=num_images), labeller=Sleeper(seconds=arguments.seconds)
    )
    outcomes_s: list[float] = []
    began_s = time.perf_counter()
    with ray_session(runtime):
        ready_s = time.perf_counter()
        result = label_on_ray(
            config, runtime, NullTracker(), lambda *_: outcomes_s.append(time.perf_counter())
        )
        done_s = time.perf_counter()
    assert result.num_labelled == num_images
    ideal = arguments.actors * arguments.batch_size / arguments.seconds
    rate = num_images / (done_s - ready_s)
    print(
        f"{num_images} images of {arguments.size}, {arguments.batches} batches of "
        f"{arguments.seconds:g} s, {arguments.actors} actors"
    )
    print(f"Ray's start                  {ready_s - began_s:7.1f} s (not in the rates)")
    print(f"first image reported after   {outcomes_s[0] - ready_s:7.1f} s")
    print(f"end after the last image     {done_s - outcomes_s[-1]:7.1f} s")
    print(f"whole job                    {done_s - ready_s:7.1f} s")
    print(f"ideal rate                   {ideal:7.2f} images/s")
    print(f"whole job's rate             {rate:7.2f} images/s")
    print(f"ratio                        {rate / ideal:7.3f}")


if __name__ == "__main__":
    main()
