"""What does reading the teacher's map before the head save beside enlarging the projected map?

    python benchmarks/methods/sample_then_project.py [--images 24] [--pairs 4096]

A batch of four frames: 24 maps of 2048 x 56 x 104, a linear head to 64 channels, pixels of
224 x 416 images. The published way projects, enlarges, normalises and then takes the pixels.
Forward and backward, each in a process of its own; memory is the peak above what the maps take.
Linux only, about 6 GB.
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measuring import answer_of, status_bytes
from olivine.methods.features import read_map

NUM_TEACHER_CHANNELS, NUM_CHANNELS = 2048, 64
MAP_SIZE, IMAGE_SIZE_PX = (56, 104), (224, 416)
WAYS = ("project then enlarge", "sample then project")


def rows_of(way: str, maps: Tensor, pixels: Tensor, head: nn.Linear) -> Tensor:
    """Return the unit feature of each pixel."""
    if way == "sample then project":
        return F.normalize(head(read_map(maps, pixels, IMAGE_SIZE_PX)), dim=1)
    small = F.conv2d(maps, head.weight[:, :, None, None], head.bias)
    whole = F.interpolate(small, IMAGE_SIZE_PX, mode="bilinear", align_corners=True)
    whole = F.normalize(whole, dim=1)
    return whole[pixels[:, 0], :, pixels[:, 1], pixels[:, 2]]


def measure(way: str, num_images: int, num_pairs: int) -> dict[str, float]:
    """Return seconds, peak bytes, and a fingerprint of rows and gradient."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    maps = torch.empty(num_images, NUM_TEACHER_CHANNELS, *MAP_SIZE).normal_(generator=generator)
    pixels = torch.stack(
        [torch.randint(0, n, (num_pairs,), generator=generator) for n in (num_images, 224, 416)], 1
    )
    torch.manual_seed(0)
    head = nn.Linear(NUM_TEACHER_CHANNELS, NUM_CHANNELS)
    weight = torch.randn(num_pairs, NUM_CHANNELS, generator=generator)
    before, began = status_bytes("VmRSS"), time.perf_counter()
    value = (rows_of(way, maps, pixels, head) * weight).sum()
    value.backward()
    assert head.weight.grad is not None
    return {
        "seconds": time.perf_counter() - began,
        "bytes": status_bytes("VmHWM") - before,
        "value": value.item(),
        "gradient": head.weight.grad.norm().item(),
    }


def main() -> None:
    """Run both ways and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=4096)
    parser.add_argument("--way", choices=WAYS, help="measure this one here and print JSON")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given.way, given.images, given.pairs)))
        return
    size = ("--images", str(given.images), "--pairs", str(given.pairs))
    found = {way: answer_of(__file__, "--way", way, *size) for way in WAYS}
    theirs, ours = (found[way] for way in WAYS)
    for name in ("value", "gradient"):
        assert abs(theirs[name] - ours[name]) < 1e-3 * abs(theirs[name]), f"{name}s differ"
    print(f"{given.images} images, {given.pairs} pairs; sums of rows and gradients are equal")
    for way, result in found.items():
        print(f"  {way:22} {result['seconds']:6.2f} s   {result['bytes'] / 1e6:8.0f} MB")
    time_ratio, memory_ratio = (theirs[name] / ours[name] for name in ("seconds", "bytes"))
    print(f"  {time_ratio:.1f} x less time, {memory_ratio:.1f} x less memory")


if __name__ == "__main__":
    main()
