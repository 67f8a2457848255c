"""What does a frozen teacher cost: as its library calls it, as we do, compiled, and read back?

    python benchmarks/models/teacher.py [--networks resnet50 dinov2_vits14] [--size 112 208] \
        [--images 2]

Every way is compared with the library's own call in float32. Ours is channels-last; bfloat16 is
left out where the processor has none; compiled is torch.compile, whose time to compile is that of
the clock. Maps are kept and read back by `olivine.models.teachers.map_cache` on a local disk, from
the system's memory of it. Random weights, processor time, best round; one thread, unless --threads
says more.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.measuring import best_of
from olivine.core.devices import has_bfloat16
from olivine.core.storage import Store
from olivine.models.foundation.image_input import ImageNetwork
from olivine.models.foundation.published_sizes import TRANSFORMERS
from olivine.models.foundation.resnet import ResNet50
from olivine.models.foundation.vit import VisionTransformer
from olivine.models.teachers.map_cache import TeacherMapCache

RESNETS = {"resnet50": True, "resnet50_stride32": False}  # name -> dilated


def network(name: str, dtype: torch.dtype) -> ImageNetwork:
    """Return one of our teachers' networks, the same weights in any dtype."""
    torch.manual_seed(0)
    if name in RESNETS:
        made: ImageNetwork = ResNet50(dilated=RESNETS[name], dtype=dtype)
    else:
        made = VisionTransformer(name, normed=False, dtype=dtype)
    return made.eval().requires_grad_(False)


class Plain(nn.Module):
    """The library's own call, each channel for itself in memory; float32 unless said otherwise."""

    def __init__(self, name: str, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.ours = network(name, dtype)
        self.ours.network.to(memory_format=torch.contiguous_format)

    def forward(self, images: Tensor) -> Tensor:
        """Return the map."""
        pixels = (images.contiguous() - self.ours.mean) / self.ours.std
        dtype = self.ours.dtype
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            return self.ours.features(pixels.contiguous())


def kept_seconds(maps: Tensor, rounds: int) -> tuple[float, float]:
    """Return the processor time to write a frame's maps, and to read them back."""
    with tempfile.TemporaryDirectory() as folder:
        shape = (maps.shape[1], maps.shape[2], maps.shape[3])
        kept = TeacherMapCache(Store(Path(folder)), "benchmark", shape, maps.dtype)
        write_s = best_of(rounds, lambda: kept.write("frame", maps), time.process_time)
        return write_s, best_of(rounds, lambda: kept.read("frame", len(maps)), time.process_time)


def compare(name: str, images: Tensor, rounds: int, compiles: bool) -> None:
    """Print a line for every way to get the maps of some images."""
    plain = Plain(name)
    plain_s = best_of(rounds, lambda: plain(images), time.process_time)
    print(f"{name}, {len(images)} images of {images.shape[2]} x {images.shape[3]}:")
    print(f"  {'plain call, float32':32} {plain_s:8.3f} s")
    for dtype in (torch.float32, torch.bfloat16)[: 1 + has_bfloat16()]:
        ours, short = network(name, dtype), str(dtype).removeprefix("torch.")
        maps = ours(images)
        call = partial(ours, images)
        ways = {f"ours, {short}": best_of(rounds, call, time.process_time)}
        if compiles:
            ours.compile()
            begin = time.perf_counter()
            call()
            label = f"and compiled, in {time.perf_counter() - begin:.0f} s"
            ways[label] = best_of(rounds, call, time.process_time)
        ways[f"kept, {maps.nbytes / 1e6:.1f} MB: written"], ways["read back"] = kept_seconds(
            maps, rounds
        )
        for label, taken_s in ways.items():
            print(f"  {label:32} {taken_s:8.3f} s  {plain_s / taken_s:7.2f} x", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known, usual = [*RESNETS, *TRANSFORMERS], [*RESNETS, "dinov2_vits14"]
    parser.add_argument("--networks", nargs="+", choices=known, default=usual)
    parser.add_argument("--size", nargs=2, type=int, default=(112, 208), help="rows, columns")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-compiling", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in given.networks:
        patch = TRANSFORMERS[name].patch_px if name in TRANSFORMERS else 1
        rows, columns = (side // patch * patch for side in given.size)
        generator = torch.Generator().manual_seed(0)
        size = (given.images, rows, columns, 3)
        images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        with torch.no_grad():
            compare(name, images.permute(0, 3, 1, 2), given.rounds, not given.without_compiling)


if __name__ == "__main__":
    main()
