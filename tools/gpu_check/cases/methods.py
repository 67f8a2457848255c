"""Cases of a method's parts: losses and their states, samplers, poolings, reading of maps."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.class_counts import ClassCounter
from olivine.methods.features import mean_of_scans, read_map, segment_shares
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.losses.regression import Regression
from olivine.methods.losses.semantic_tolerant import SemanticTolerant
from olivine.methods.losses.stateful import Stateful
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.losses.vmf import VMF
from olivine.methods.losses.vmf.loss import VonMisesFisher
from olivine.methods.matched import WHOLE, Matched
from olivine.methods.poolings.base import Pooling
from olivine.methods.poolings.cluster import Cluster
from olivine.methods.poolings.segment import Segment
from olivine.methods.samplers.density_category import DensityCategory
from olivine.methods.samplers.uniform import Uniform
from olivine.methods.samplers.weighted_sampling import PairSampler, choose_weighted
from olivine.testing.rows import Features, matched_rows, pair_table
from tools.gpu_check.cases.comparing import (
    BOUNDS,
    Case,
    Computed,
    Place,
    every_precision,
    gradients,
    random_rows,
)
from tools.gpu_check.cases.made_data import CUBES, NUM_CLASSES, voxels_of
from tools.gpu_check.report import Setup

NUM_CHANNELS = 64
# Losses are in single precision also under autocast; exponentials of cosines over 0.07 lose a
# digit.
OF_LOSS = dict.fromkeys(BOUNDS, 1e-4)
TILED = 4100  # rows, more than one matrix on a GPU
NUM_DRAWS, FEW = 1000, 8
LIKELY = 30.0  # chi-squared with 7 degrees of freedom is larger once in ten thousand times
SINGLE = Place(
    torch.device("cpu")
)  # where integers follow from numbers that the data have in float32


def method_cases(setup: Setup) -> Iterator[Case]:
    """Yield all cases of this module."""
    yield from _losses(setup)
    yield from _samplers(setup)
    for pool in (Segment(), Cluster(), Cluster(queries="points")):
        name = f"pooling {pool.kind}{' of points' if pool.shares_keys else ''}"
        yield Case(name, partial(_pooling, pool, 300 if setup.is_small else 20_000), BOUNDS)
    size = (2, 16, 12, 20) if setup.is_small else (12, 256, 56, 104)
    yield Case("features read from maps", partial(_read, size))
    yield Case("shares of segments", partial(_shares, size), every_precision(1e-5))
    yield Case("means of scans", partial(_means, setup), BOUNDS)
    yield Case("counts of classes", _counts)


def _losses(setup: Setup) -> Iterator[Case]:
    num, many = (120, 150) if setup.is_small else (2048, TILED)
    vmf = VMF(momentum=0.7, warmup_steps=2)
    posterior = vmf.replace(form="posterior", freeze=False, bias_correction=True)
    losses: list[tuple[str, Loss, int]] = [
        ("InfoNCE", InfoNCE(), num),
        ("InfoNCE by tiles", InfoNCE(), many),
        ("InfoNCE among gathered keys", InfoNCE(gather_keys=True), num),
        ("SupCon", SupCon(), num),
        ("SupCon by tiles", SupCon(), many),
        ("SupCon, mean", SupCon(mean_over_positives=True), num),
        ("SupCon among gathered keys", SupCon(gather_keys=True), num),
        ("vMF likelihood", vmf, num),
        ("vMF of points", vmf.replace(average="point"), num),
        ("vMF posterior", posterior.replace(max_concentration=10.0), num),
        ("vMF of one concentration", vmf.replace(concentration=12.0), num),
        ("queue NCE", QueueNCE(size=2 * num), num),
        ("semantic tolerance", SemanticTolerant(), num),
        ("semantic tolerance, similarities", SemanticTolerant(min_quantile=0.0), num),
        ("regression", Regression(), num),
    ]
    for name, loss, number in losses:
        yield Case(f"loss {name}", partial(_loss, loss, number, False), OF_LOSS)
    for loss in (InfoNCE(), Regression()):
        yield Case(f"loss {loss.kind}, shared keys", partial(_loss, loss, num, True), OF_LOSS)


def _loss(loss: Loss, num: int, shared: bool, place: Place) -> Computed:
    """Return value and gradients after three steps of a state, and the state."""
    module = place.put(loss.build(NUM_CHANNELS, NUM_CLASSES)).train()
    rows = partial(
        matched_rows, loss, num=num, num_channels=NUM_CHANNELS, num_classes=NUM_CLASSES,
        shared=shared,
    )  # fmt: skip
    steps = [place.put(rows(seed=seed)) for seed in (10, 11, 12)]
    leaves = {"queries": place.leaf(rows(seed=13).queries)}
    given = replace(place.put(rows(seed=13)), queries=leaves["queries"])
    if given.keys is not None:
        # Keys of the least loss have gradients that cancel.
        other = random_rows(*given.keys.shape, seed=15)
        leaves["keys"] = place.leaf(
            F.normalize(rows(seed=13).keys + F.normalize(other, dim=1), dim=1)
        )
        given = replace(given, keys=leaves["keys"])
    with place.autocast():
        for matched in (*steps, given):
            if isinstance(module, Stateful):
                module.observe(matched, WHOLE)
        value = module(given)
    found = {"value": value, **gradients(value, leaves)}
    if isinstance(module, Stateful):
        found |= module.state_metrics()
    if isinstance(module, VonMisesFisher):
        direction, kappa, _ = module.classes()
        found = {**found, "directions": direction, "concentrations": kappa, "means": module.mean}
        found = {name: x for name, x in found.items() if "/" not in name}
    return found


def _samplers(setup: Setup) -> Iterator[Case]:
    num = 600 if setup.is_small else 100_000
    choices = {
        "uniform": Uniform(num_pairs=num // 2),
        "uniform, by scan": Uniform(num_pairs=num // 2, scope="scan"),
        "density and category": DensityCategory(num_pairs=num // 2),
        "density and category, by scan": DensityCategory(num_pairs=num // 2, scope="scan"),
        "density alone": DensityCategory(num_pairs=num // 2, category_temperature=0.0),
    }
    for name, settings in choices.items():
        compute = partial(_sampled, settings.build(), num)
        # A range on the border of two bins may be counted in either: CUDA multiplies by 1 / step.
        yield Case(f"sampler {name}", compute, {"float32": 1e-3}, reference=SINGLE)
    yield Case("sampling by weight", _drawn)


def _sampled(sampler: PairSampler, num: int, place: Place) -> Computed:
    """Return the weights, and truths about the chosen rows, which differ from device to device."""
    pairs = pair_table(num, num_classes=NUM_CLASSES)
    classes = torch.where(torch.arange(num) % 5 == 0, IGNORE, pairs.class_ids)
    pairs = place.put(replace(pairs, class_ids=classes))
    chosen = sampler(pairs, torch.Generator(place.device).manual_seed(5))
    again = sampler(pairs, torch.Generator(place.device).manual_seed(5))
    found = {
        "number": torch.tensor(len(chosen)),
        "number of distinct rows": torch.tensor(len(chosen.unique())),
        "the same by the same seed": torch.tensor(torch.equal(chosen, again)),
    }
    if isinstance(sampler, partial):
        return found
    weights = sampler.log_weights(pairs)
    return {**found, "weights": weights, "all possible": weights[chosen].isfinite().all()}


def _drawn(place: Place) -> Computed:
    """Return whether frequencies of draws are those of the weights, by their chi-squared."""
    weight = torch.arange(1.0, FEW + 1)
    generator = torch.Generator(place.device).manual_seed(6)
    log_weight = weight.log().to(place.device)
    drawn = [choose_weighted(log_weight, 1, generator, excludes=False) for _ in range(NUM_DRAWS)]
    seen = torch.cat(drawn).bincount(minlength=FEW).cpu()
    expected = NUM_DRAWS * weight / weight.sum()
    return {"likely": ((seen - expected) ** 2 / expected).sum() < LIKELY}


class _FeaturesAt(Features):
    """The made features of a table of pairs, at a place; those of points take gradients."""

    def __init__(self, num: int, place: Place):
        super().__init__(num)
        self._place = place
        self.rows, self.later_rows = place.leaf(self.rows), place.leaf(self.later_rows)

    def later_points(self, head: str) -> tuple[Tensor, Tensor]:
        rows, cluster_ids = super().later_points(head)
        return rows, self._place.put(cluster_ids)

    def segments(self, pairs: PairTable) -> Tensor:
        return super().segments(SINGLE.put(pairs)).to(self._place.device)

    def segment_pixels(
        self, head: str, segments: Tensor, teacher_rows: bool
    ) -> tuple[Tensor, Tensor | None]:
        unit, own = super().segment_pixels(head, segments.cpu(), teacher_rows)
        return self._place.put(unit), None if own is None else self._place.put(own)


def _pooling(pool: Pooling, num: int, place: Place) -> Computed:
    pairs = place.put(pair_table(num, over_time=pool.match == "time"))
    features = _FeaturesAt(num, place)
    with place.autocast():
        matched: Matched = pool.build()(features, "pixel", pairs, pairs.frame_index)
    leaves = {"points": features.rows}
    if pool.match == "time":
        leaves["later points"] = features.later_rows
    joined = torch.cat([matched.queries, matched.keys])
    found = {name: value for name, value in vars(matched).items() if value is not None}
    return {**found, **gradients(joined, leaves)}


def _read(size: tuple[int, ...], place: Place) -> Computed:
    images, _, rows, columns = size
    limits = torch.tensor([images, 4 * rows, 4 * columns])
    pixels = (torch.rand(5000, 3, generator=torch.Generator().manual_seed(8)) * limits).long()
    maps = place.leaf(random_rows(*size, seed=9))
    found = read_map(maps, pixels.to(place.device), (4 * rows, 4 * columns))
    return {"rows": found, **gradients(found, {"maps": maps})}


def _shares(size: tuple[int, ...], place: Place) -> Computed:
    rows, columns = 4 * size[2], 4 * size[3]
    block = torch.arange(rows)[:, None] * 10 // rows * 15 + torch.arange(columns) * 15 // columns
    segments = block.to(torch.uint8).to(place.device)
    with place.autocast():
        shares = segment_shares(segments, torch.arange(150, device=place.device), size[2:])
    return {"shares": shares}


def _means(setup: Setup, place: Place) -> Computed:
    voxels = voxels_of(setup, CUBES, 4)
    rows = place.leaf(1 + random_rows(len(voxels.coordinates), 32, seed=14))
    with place.autocast():
        half = torch.get_autocast_dtype(place.device.type)
        given = rows if place.precision == "float32" else rows.to(half)
        means = mean_of_scans(given, place.put(voxels), 4)
    return {"means": means, **gradients(F.normalize(means, dim=1), {"rows": rows})}


def _counts(place: Place) -> Computed:
    counter = place.put(ClassCounter())
    ids = torch.arange(5000) % NUM_CLASSES
    counter.add(ids.to(place.device))
    counter.add(torch.full((7,), IGNORE, device=place.device))
    return {"numbers": counter.num_pairs.long()}
