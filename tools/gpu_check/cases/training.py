"""Cases of voxels, neighbours, teachers, optimisers, and the losses and scores of an evaluation."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from olivine.core.devices import tf32_products
from olivine.data.geometry.cell_keys import pack, unpack
from olivine.data.geometry.neighbours import nearest_rows
from olivine.data.geometry.voxelization import _group, cells_of
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import IGNORE
from olivine.models.foundation.resnet import ResNet50
from olivine.models.foundation.torchvision_ops import nms
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.training.optimisers.adamw import AdamW
from olivine.training.optimisers.base import Optimiser
from olivine.training.optimisers.sgd import Sgd
from olivine.training.ridge import RowSums, ridge_classifiers
from olivine.training.segmentation import (
    class_iou,
    cross_entropy,
    lovasz_softmax,
    mean_iou,
    scene_confusion,
)
from tools.gpu_check.cases.comparing import (
    BOUNDS,
    Case,
    Computed,
    Place,
    every_precision,
    gradients,
    random_rows,
)
from tools.gpu_check.cases.made_data import CUBES, num_azimuths, scan, voxels_of
from tools.gpu_check.cases.methods import OF_LOSS, SINGLE
from tools.gpu_check.report import Setup

NUM_CLASSES, NUM_SCENES = 16, 5
TF32 = 5e-3  # of a network of convolutions, whose factors have ten bits and whose sums are exact


def training_cases(setup: Setup) -> Iterator[Case]:
    """Yield all cases of this module."""
    xyz_m = torch.from_numpy(scan(num_azimuths(setup), seed=3)[0])
    for voxelizer in (Voxelizer(), CUBES):
        name = f"voxels, {voxelizer.coordinates}"
        # CUDA multiplies by 1 / size, so a point on a border may fall on its other side.
        of_cells = {"coordinates": {"float32": 1e-3}}
        compute = partial(_voxels, voxelizer, xyz_m)
        yield Case(name, compute, of_output=of_cells, reference=SINGLE)
    voxels = voxels_of(setup, CUBES)
    points = voxels.points[voxels.kept_point, :3]
    yield Case("nearest neighbours", partial(_nearest, points, voxels.coordinates[:, 0].long()))
    num = 2_000 if setup.is_small else 120_000
    yield Case("cross entropy and Lovász", partial(_segmentation, num), OF_LOSS)
    yield Case("scene counts", partial(_scores, num))
    yield Case("ridge regression", partial(_ridge, num), {"float32": 1e-4})
    for settings in (Sgd(), AdamW()):
        yield Case(f"optimiser {settings.kind}", partial(_optimiser, settings), {"float32": 1e-5})
    yield Case("non-maximum suppression", _suppressed)
    yield from _teachers(setup)


def _voxels(voxelizer: Voxelizer, xyz_m: Tensor, place: Place) -> Computed:
    """Return cells of points, of which those on a border may differ, and groups of given cells."""
    cells, on_cpu = cells_of(voxelizer, xyz_m.to(place.device)), cells_of(voxelizer, xyz_m)
    given = torch.cat([torch.arange(len(xyz_m))[:, None] % 2, on_cpu], dim=1)
    apart = (cells.cpu() - on_cpu).abs()
    if voxelizer.coordinates == "cylindrical":  # from the last angle to the first is one step
        apart[:, 1] = torch.minimum(apart[:, 1], round(360 / voxelizer.cell_size[1]) - apart[:, 1])
    distinct, first, group = _group(pack(given.to(place.device)))
    return {
        "coordinates": cells.double(),
        "points beyond the next cell": (apart.amax(dim=1) > 1).sum(),
        "keys": distinct,
        "first points": first,
        "voxels of points": group,
        "cells of keys": unpack(distinct),
    }


def _nearest(xyz_m: Tensor, frame: Tensor, place: Place) -> Computed:
    """Return the distances of the nearest, since equal ones may come in another order."""
    rows = nearest_rows(xyz_m.to(place.device), frame.to(place.device), 16).cpu()
    apart_m = (xyz_m[rows].double() - xyz_m[:, None].double()).norm(dim=2)
    return {"distances": apart_m, "own frame": (frame[rows] == frame[:, None]).all()}


def _segmentation(num: int, place: Place) -> Computed:
    logits = place.leaf(2 * random_rows(num, NUM_CLASSES, seed=20))
    truth = torch.arange(num) % (NUM_CLASSES - 1)
    truth[::9] = IGNORE
    found = {}
    with place.autocast():
        values = {
            "cross entropy": cross_entropy(logits, truth.to(place.device)),
            "Lovász": lovasz_softmax(logits, truth.to(place.device)),
        }
    for name, value in values.items():
        (gradient,) = gradients(value, {"logits": logits}).values()
        found |= {name: value, f"{name}'s gradient": gradient}
    return found


def _scores(num: int, place: Place) -> Computed:
    generator = torch.Generator().manual_seed(21)
    truth, predicted = torch.randint(0, NUM_CLASSES - 1, (2, num), generator=generator)
    truth[::9] = IGNORE
    scenes = torch.arange(num) * NUM_SCENES // num
    rows = [x.to(place.device) for x in (truth, predicted, scenes)]
    counts = scene_confusion(*rows, NUM_SCENES, NUM_CLASSES)
    iou = class_iou(counts.sum(0))
    means = torch.tensor([mean_iou(iou, absent) for absent in ("skip", "one")])
    return {"counts": counts, "IoU": iou[:-1], "absent class": iou[-1:].isnan(), "means": means}


def _ridge(num: int, place: Place) -> Computed:
    rows = place.put(random_rows(num, 48, seed=22))
    class_ids = (torch.arange(num) % 5).to(place.device)
    sums = RowSums.empty(5, 48, place.device)
    sums.add(rows + class_ids[:, None] * 0.3, class_ids)
    found = ridge_classifiers(sums, (1e-3, 1e-1), balance=0.5)
    return {"weights": found.weights, "biases": found.biases}


def _optimiser(settings: Optimiser, place: Place) -> Computed:
    weights = nn.Parameter(place.put(random_rows(5000, seed=23)))
    optimiser = settings.build([{"params": [weights]}])
    for step in range(5):
        weights.grad = place.put(random_rows(5000, seed=24 + step))
        optimiser.step()
    return {"weights": weights.detach()}


def _suppressed(place: Place) -> Computed:
    corner, size = random_rows(300, 2, seed=30), 1 + random_rows(300, 2, seed=31).abs()
    boxes = torch.cat([corner, corner + size], dim=1)
    return {"kept": nms(boxes.to(place.device), random_rows(300, seed=32).to(place.device), 0.5)}


def _teachers(setup: Setup) -> Iterator[Case]:
    size = (2, 3, 32, 48) if setup.is_small else (4, 3, 112, 208)
    images = torch.randint(0, 256, size, generator=torch.Generator().manual_seed(40)).byte()
    bank = partial(_bank, images)
    yield Case("teacher filter_bank", bank, every_precision(1e-5), reference=SINGLE)
    some, name = images[:1] if setup.is_small else images[:2], "teacher resnet50"
    for allows, bound in ((False, 1e-4), (True, TF32)):
        bounds = {"float32": bound} if not allows else {"float32": bound, **_half()}
        label = f"{name}{', with TF32' if allows else ''}"
        yield Case(label, partial(_resnet, some, allows), bounds)


def _half() -> dict:
    return {name: 3 * bound for name, bound in BOUNDS.items() if name != "float32"}


def _bank(images: Tensor, place: Place) -> Computed:
    bank = FilterBankTeacher(width=64).build().to(place.device)
    with place.autocast():
        return {"maps": bank(images.to(place.device))}


@torch.no_grad()
def _resnet(images: Tensor, allows_tf32: bool, place: Place) -> Computed:
    dtype = getattr(torch, place.precision)
    torch.manual_seed(0)
    here = place.put(ResNet50(dilated=True, dtype=dtype).eval())
    if place.dtype == torch.float64:
        here.dtype = torch.float64
        pixels = (images - here.mean) / here.std
        return {"maps": here.features(pixels)}
    with tf32_products(allowed=allows_tf32):
        return {"maps": here(images.to(place.device))}
