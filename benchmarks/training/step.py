"""How long is a step of OLIVINE beside a straightforward one, and where does the time go?

    python benchmarks/training/step.py [--data ../shared/data] [--threads 2] [--rounds 3] \
        [--without-teacher]

One real keyframe with its six images at the paper's size (224 x 416), MinkUNet-34, ResNet-50
dilated, 4096 pairs, 16 classes. The teacher is measured apart: ours is channels-last and in
bfloat16 where the processor has it; the plain one is the library's own call in float32. The rest
is all that is left of a step, from the teacher's maps to the optimiser. The straightforward rest
does what the published code does: it convolves by MinkowskiEngine, or where that is missing by a
table of neighbours, projects and enlarges both whole maps, weighs pairs by a direct density
estimate, and loops over classes for the vMF bank. Weights are random; the clock counts, best
round.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.keyframes import KeyframeReader, open_keyframes
from benchmarks.measuring import best_of
from benchmarks.methods.sampling import direct_weights
from benchmarks.methods.vmf_bank import Loop
from benchmarks.models.sparse_convolution import TableGrid
from olivine.core.devices import has_bfloat16
from olivine.core.errors import UserError
from olivine.data.augmentations.crop_images import CropImages
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.data.geometry.voxels import Voxelizer
from olivine.methods.catalogue import olivine_method
from olivine.methods.distillation import Distillation
from olivine.methods.objective import Objective
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.backbones.minkunet.network import SparseUNet
from olivine.models.foundation.published_sizes import RESNET50_CHANNELS
from olivine.models.foundation.resnet import ResNet50
from olivine.models.sparse.minkowski import MinkowskiGrid, minkowski_engine
from olivine.training.optimisers.sgd import Sgd

NUM_CLASSES, NUM_PAIRS, IMAGE_SIZE_PX, TEMPERATURE = 16, 4096, (224, 416), 0.07


def batch_of(data: Path) -> Batch:
    """Return one keyframe, whole images, with random classes."""
    with tempfile.TemporaryDirectory() as cache:
        _, frames = next(open_keyframes(data, Path(cache)))
        sample = KeyframeReader(frames)(0)
    sample = CropImages(min_area=1.0)(sample, np.random.default_rng(0))
    batch = Collate(Voxelizer())([sample])
    frequency = 0.73 ** torch.arange(NUM_CLASSES, dtype=torch.double)
    classes = frequency.multinomial(len(batch.pairs), True, generator=torch.Generator())
    batch.pairs.class_ids.copy_(classes)
    return batch


class Maps(nn.Module):
    """Stands for the teacher: what it said."""

    def __init__(self, maps: Tensor):
        super().__init__()
        self.register_buffer("maps", maps)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps."""
        return self.get_buffer("maps")


def backbone() -> SparseUNet:
    """Return MinkUNet-34, the same at every call."""
    torch.manual_seed(0)
    return MinkUNet().build(1)


class Ours:
    """The project's own step."""

    def __init__(self, batch: Batch, maps: Tensor):
        method = olivine_method()
        compact = method.terms["compact"]
        warm = compact.replace(loss=compact.loss.replace(warmup_steps=0, freeze=False))
        method = method.replace(terms={**method.terms, "compact": warm})
        self.batch = batch
        self.model = Distillation(
            backbone=backbone(),
            num_point_channels=96,
            teacher=Maps(maps),
            num_pixel_channels=RESNET50_CHANNELS,
            objective=Objective(method, 64, NUM_CLASSES, RESNET50_CHANNELS),
            heads=method.heads,
            num_channels=64,
        ).train()
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = Sgd().build([{"params": trainable}])

    def __call__(self) -> None:
        """Take one step."""
        self.optimiser.zero_grad(set_to_none=True)
        total, _ = self.model(
            self.batch, torch.zeros_like, lambda term, group: torch.Generator().manual_seed(term)
        )
        total.backward()
        self.optimiser.step()


class Straightforward:
    """A step as one writes it first."""

    def __init__(self, batch: Batch, maps: Tensor, open_grid: Callable[[Tensor], object]):
        self.batch, self.maps = batch, maps
        self.backbone = backbone()
        self.backbone._open_grid = open_grid
        self.point_heads = nn.ModuleList([nn.Linear(96, 64) for _ in range(2)])
        self.pixel_heads = nn.ModuleList([nn.Conv2d(RESNET50_CHANNELS, 64, 1) for _ in range(2)])
        self.bank = Loop(NUM_CLASSES)
        modules = (self.backbone, self.point_heads, self.pixel_heads)
        self.optimiser = Sgd().build([{"params": [p for m in modules for p in m.parameters()]}])

    def __call__(self) -> None:
        """Take one step."""
        self.optimiser.zero_grad()
        pairs = self.batch.pairs
        rows = self.backbone(self.batch.voxels)
        points = [F.normalize(head(rows), dim=1) for head in self.point_heads]
        whole = [self.enlarge(head(self.maps)) for head in self.pixel_heads]
        uniform = torch.randperm(len(pairs))[:NUM_PAIRS]
        weighted = direct_weights(pairs).multinomial(NUM_PAIRS)
        values = []
        for chosen, point, image in zip((uniform, weighted), points, whole, strict=True):
            pixel = pairs.pixel_index[chosen]
            keys = image[pixel[:, 0], :, pixel[:, 1], pixel[:, 2]]
            queries = point[pairs.voxel_index[chosen]]
            logits = queries @ keys.t() / TEMPERATURE
            values.append((logits, queries, pairs.class_ids[chosen]))
        first = F.cross_entropy(values[0][0], torch.arange(NUM_PAIRS))
        logits, queries, classes = values[1]
        positive = (classes[:, None] == classes[None]).float()
        log_share = logits - torch.logsumexp(logits, dim=1, keepdim=True)
        second = -((positive * log_share).sum(dim=1) / positive.sum(dim=1)).mean()
        total = first + 0.1 * second + 1e-4 * self.bank.step(queries, classes)
        total.backward()
        self.optimiser.step()

    def enlarge(self, projected: Tensor) -> Tensor:
        """Return the whole images' unit features."""
        whole = F.interpolate(projected, IMAGE_SIZE_PX, mode="bilinear", align_corners=True)
        return F.normalize(whole, dim=1)


def teachers(images: Tensor, rounds: int) -> Tensor:
    """Measure the teacher and return its maps."""
    torch.manual_seed(0)
    half = has_bfloat16()
    ours = ResNet50(dilated=True, dtype=torch.bfloat16 if half else torch.float32).eval()
    plain = ResNet50(dilated=True).eval()
    plain.network.to(memory_format=torch.contiguous_format)
    pixels = ((images.contiguous() - plain.mean) / plain.std).contiguous()
    with torch.no_grad():
        plain_s = best_of(rounds, lambda: plain.features(pixels))
        ours_s = best_of(rounds, lambda: ours(images))
        maps = ours(images).float()
    name = "channels-last, bfloat16" if half else "channels-last, float32"
    print(f"teacher, {len(images)} images: plain {plain_s:.2f} s, ours ({name}) {ours_s:.2f} s")
    print(f"  {plain_s / ours_s:.2f} x the plain call's speed")
    return maps.contiguous()


def parts(ours: Ours) -> None:
    """Print where the time of our step goes."""
    with torch.profiler.profile() as profile:
        ours()
    events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    shown = ", ".join(f"{e.key} {100 * e.self_cpu_time_total / total:.0f} %" for e in events[:8])
    print(f"our rest by operator: {shown}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-teacher", action="store_true", help="random maps instead")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    batch = batch_of(given.data)
    print(f"{len(batch.voxels.features)} voxels, {len(batch.pairs)} pairs, {given.threads} threads")
    if given.without_teacher:
        maps = torch.rand(len(batch.images), RESNET50_CHANNELS, 56, 104)
    else:
        maps = teachers(batch.images, given.rounds)
    ours = Ours(batch, maps)
    ours_s = best_of(given.rounds, ours)
    unet = backbone()

    def forward_backward() -> None:
        unet(batch.voxels).square().mean().backward()

    print(f"rest of the step: ours {ours_s:.2f} s, of which the U-Net alone ", end="")
    print(f"{best_of(given.rounds, forward_backward):.2f} s")
    grids: dict[str, Callable[[Tensor], object]] = {"a table of neighbours": TableGrid}
    try:
        minkowski_engine()
        grids["MinkowskiEngine"] = MinkowskiGrid
    except UserError as error:
        print(error)
    for name, open_grid in grids.items():
        theirs_s = best_of(given.rounds, Straightforward(batch, maps, open_grid))
        print(f"  straightforward with {name}: {theirs_s:.2f} s, {theirs_s / ours_s:.2f} x ours")
    parts(ours)


if __name__ == "__main__":
    main()
