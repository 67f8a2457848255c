"""What 200,000 images cost the driver of a labelling job: memory, and the time to find none left.

Starts the job in one process after another: with every image left, few and many, for the driver's
peak of memory until 500 images are labelled; and with every image labelled, for the time in which
a re-run sees that nothing is left (imports, run store, listing and the look at 300 maps included).
The maps of that are hard links to one of 1600 x 900. Linux only.

    python benchmarks/labels/label_listing.py [--images 200000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.labels.numbered_images import NumberedImages, Sleeper, write_image
from olivine.core.runtime import Runtime
from olivine.labels.config import LabelConfig
from olivine.labels.store import LabelStore, label_name

FEW = 1000
NUM_LABELLED = 500  # after which the peak is read
MAX_LINKS = 50_000  # of one file; ext4 allows 65,000

STARTED = """
import resource, time
began = time.perf_counter()
from benchmarks.labels.label_listing import NUM_LABELLED, config, runtime
from olivine.tracking.tracker import NullTracker
from olivine.runners.on_ray.label import label_on_ray
from olivine.runners.on_ray.session import ray_session

class Enough(Exception): pass

def stop(done, total):
    if done >= NUM_LABELLED:
        raise Enough

with ray_session(runtime({root!r})):
    try:
        label_on_ray(config({num_images}), runtime({root!r}), NullTracker(), stop)
    except Enough:
        print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

FINISHED = """
import resource, time
began = time.perf_counter()
from benchmarks.labels.label_listing import config, runtime
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.runners.on_ray.label import label_on_ray

tracker = MlflowTracker(runtime({root!r}).store_uri())
tracker.ensure_store()
result = label_on_ray(config({num_images}), runtime({root!r}), tracker)
assert (result.num_done_before, result.num_labelled) == ({num_images}, 0)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def config(num_images: int) -> LabelConfig:
    """Return the labelling of that many names."""
    return LabelConfig(dataset=NumberedImages(num_images=num_images), labeller=Sleeper())


def runtime(root: str) -> Runtime:
    """Return where it happens."""
    return Runtime(data_root=root, out=root, cache_dir=f"{root}/cache")


def main() -> None:
    """Write the maps and print what starting costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000)
    many = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="label_listing") as root:
        peaks = {}
        for num_images in (FEW, many):
            place = f"{root}/{num_images}"
            write_image(Path(place), 1, 1)
            seconds, peaks[num_images] = _measure(STARTED, place, num_images)
            print(
                f"{num_images:7d} images left: driver's peak {peaks[num_images]:.0f} MB after "
                f"{NUM_LABELLED} were labelled ({seconds:.1f} s)"
            )
        print(f"{many - FEW} images more take {peaks[many] - peaks[FEW]:.0f} MB")
        finished = f"{root}/finished"
        _write_maps(finished, many)
        _measure(FINISHED, finished, many)  # opens the run and ends it as finished
        seconds, peak = _measure(FINISHED, finished, many)
        print(
            f"{many:7d} images labelled: a re-run ends after {seconds:.1f} s, "
            f"driver's peak {peak:.0f} MB"
        )


def _write_maps(root: str, num_images: int) -> None:
    wanted = config(num_images)
    images = wanted.dataset.open(root, runtime(root).cache_path())
    store = LabelStore(root, images.fingerprint, wanted.labeller.identity)
    store.begin(wanted.labeller)
    for index, name in enumerate(images.image_names()):
        target = Path(store.path) / label_name(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if index % MAX_LINKS == 0:
            first = target
            Image.new("L", (1600, 900)).save(first)
        else:
            os.link(first, target)


def _measure(code: str, root: str, num_images: int) -> tuple[float, float]:
    """Run code in a fresh process; return its seconds and its peak in MB."""
    answer = subprocess.run(
        [sys.executable, "-c", code.format(root=root, num_images=num_images)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds, kilobytes = map(float, answer.stdout.split()[-2:])
    return seconds, kilobytes / 1e3


if __name__ == "__main__":
    main()
