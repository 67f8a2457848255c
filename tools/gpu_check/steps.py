"""CUDA against float64 on the CPU: whole steps of training, and an evaluation."""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from olivine.core.runtime import Runtime
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.methods.catalogue import (
    depthcontrast_method,
    olivine_next_method,
    pointcontrast_method,
    ppkt_method,
    scalr_method,
    seal_method,
    slidr_method,
    st_slidr_method,
)
from olivine.methods.losses.vmf import VMF
from olivine.methods.matched import WHOLE
from olivine.methods.method import Method
from olivine.models.backbones.minkunet import MinkUNet
from olivine.testing.frames import InMemoryFrames
from olivine.tracking.tracker import NullTracker
from olivine.training.config import EvaluateConfig
from olivine.training.evaluate import _loss_function, evaluate
from olivine.training.experiment_data import ExperimentData
from olivine.training.pretrain import pretrain
from olivine.training.segmentation import scene_confusion
from olivine.training.segmenter import Segmenter, predict_classes, voxel_classes
from olivine.training.worker import LocalWorker
from tools.gpu_check.cases.comparing import (
    REFERENCE,
    Case,
    Computed,
    Place,
    equal,
    every_precision,
    findings,
    gradients,
    relative_error,
    sentence,
)
from tools.gpu_check.cases.made_data import NUM_CLASSES, frames_of, samples_of
from tools.gpu_check.cases.methods import SINGLE
from tools.gpu_check.cases.pretraining_step import (
    CUBES,
    PRECISIONS,
    Stepped,
    Training,
    config_of,
    early_olivine,
    steps,
    whole_batch,
)
from tools.gpu_check.cases.sparse import SMALL_UNET
from tools.gpu_check.report import Finding, Setup, compared, failed, measured

PART = "steps"
# Gradients have the rounding of every layer, twice, and activations near zero change sides. In real
# scans thousands do at once, since voxels of one intensity without neighbours are equal: on a CPU
# gradients differ by 3e-3 in float32, 0.15 in bfloat16, 0.04 in float16; those of a second step by
# 2e-2, 0.16 and 0.08.
LOSS = {"float32": 2e-5, "bfloat16": 2e-2, "float16": 5e-3}
GRADIENT = {"float32": 1e-2, "bfloat16": 0.4, "float16": 0.2}
SECOND = {"float32": 6e-2, "bfloat16": 0.5, "float16": 0.3}
SECOND_LOSS = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
# Of predictions: the distance of the two best logits, in standard deviations, that is a near tie,
# and the share of points that may have one.
NEAR_TIE = {"float32": 1e-4, "bfloat16": 0.2, "float16": 0.03}
OTHER_CLASSES = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the verdicts on steps of pretraining and fine-tuning, and on predictions."""
    batches = [whole_batch(setup, round_=number) for number in range(2)]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products
    source = "real keyframes" if setup.keyframes else "made frames"
    yield measured(
        PART,
        "the batch",
        f"{source}, {len(batches[0].voxels.features)} voxels, {len(batches[0].pairs)} pairs",
    )
    yield from findings(PART, _pretrainings(batches), setup)
    yield from findings(PART, _finetunings(setup), setup)
    for check_one in (_recomputed, _predictions, _stages):
        try:
            yield from check_one(setup, batches)
        except Exception as error:
            yield failed(PART, check_one.__name__.strip("_"), sentence(error))


def _pretrainings(batches: list[Batch]) -> Iterator[Case]:
    name, method = "OLIVINE's steps", early_olivine()
    gradient = {f"gradient of {which}": GRADIENT for which in ("the first layer", "the last layer")}
    loose = {**gradient, "change of weights": GRADIENT, "second change of weights": SECOND}
    loose |= {f"second {what}": SECOND_LOSS for what in ("loss", *method.active())}
    yield Case(name, partial(_stepped, method, batches), LOSS, loose)
    single = {"float32": 1e-4}, {what: {"float32": x["float32"]} for what, x in loose.items()}
    for name, other in _other_methods().items():
        compute = partial(_stepped, other, batches)
        yield Case(f"a step of {name}", compute, *single, reference=SINGLE)


def _other_methods() -> dict[str, Method]:
    vmf = VMF(form="posterior", bias_correction=True, freeze=False, warmup_steps=0)
    following = olivine_next_method()
    terms = {**following.terms, "compact": following.terms["compact"].replace(loss=vmf)}
    return {
        "olivine_next": following.replace(terms=terms),
        "slidr": slidr_method(),
        "st_slidr": st_slidr_method(),
        "seal": seal_method(),
        "pointcontrast": pointcontrast_method(),
        "depthcontrast": depthcontrast_method(),
        "scalr": scalr_method(),
    }


def _stepped(method: Method, batches: list[Batch], place: Place) -> Computed:
    """Return losses of two steps, gradients of the first, and how each changed the weights."""
    config = config_of(method, len(batches[0].tokens)).replace(precision=place.precision)
    done: Stepped = steps(Training(config, place), batches)
    found = {"loss": done.losses[0], "second loss": done.losses[1]}
    found |= {f"term {name}": value for name, value in done.terms[0].items() if value != 0}
    found |= {f"second {name}": value for name, value in done.terms[1].items()}
    found |= {f"gradient of {name}": value for name, value in done.gradients[0].items()}
    found["pairs"] = torch.tensor([sum(n) for n in done.num_sampled[0].values()])
    return {
        **found,
        "change of weights": done.changes[0],
        "second change of weights": done.changes[1],
    }


def _labelled(setup: Setup) -> Batch:
    """Return a batch of scans in which every point has a voxel, as an evaluation takes them."""
    samples = samples_of(setup, frames_of(setup, 2))
    return Collate(CUBES, every_point=True)(samples)


def _segmenter(place: Place, frozen: bool = False) -> Segmenter:
    torch.manual_seed(3)
    backbone = SMALL_UNET.build(1)
    return place.put(Segmenter(backbone, SMALL_UNET.num_channels, NUM_CLASSES, frozen))


def _finetunings(setup: Setup) -> Iterator[Case]:
    batch, loose = _labelled(setup), every_precision(1e-4)
    gradient = {f"gradient of {which}": GRADIENT for which in ("the first layer", "the head")}
    yield Case("a step of fine-tuning", partial(_finetuned, batch, False), loose, gradient)
    yield Case("a step of the linear probe", partial(_finetuned, batch, True), loose, gradient)


def _finetuned(batch: Batch, frozen: bool, place: Place) -> Computed:
    model, here = _segmenter(place, frozen).train(), place.put(batch)
    with place.autocast():
        total, values = _loss_function(model, 1.0)(here, 0, WHOLE)
    leaves = {"the head": model.head.weight}
    if not frozen:
        leaves["the first layer"] = next(model.backbone.parameters())
    return {"loss": total, **values, **gradients(total, leaves)}


def _recomputed(setup: Setup, batches: list[Batch]) -> Iterator[Finding]:
    """Yield whether activation checkpointing changes a step, beside what two runs differ by.

    Operations are deterministic where torch can make them so.
    """
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield from _recomputations(setup, batches)
    finally:
        torch.use_deterministic_algorithms(is_deterministic)


def _recomputations(setup: Setup, batches: list[Batch]) -> Iterator[Finding]:
    for precision in PRECISIONS[: 2 if setup.is_small else 3]:
        place = Place(torch.device(setup.device), precision=precision)
        config = config_of(early_olivine(), len(batches[0].tokens)).replace(precision=precision)
        kept, again, other = (
            steps(Training(config, place, recompute), batches[:1])
            for recompute in (False, False, True)
        )
        name = f"activations computed again, {precision}"
        results = {"loss": [x.losses[0] for x in (kept, again, other)]}
        results["change of weights"] = [x.changes[0] for x in (kept, again, other)]
        noises = [relative_error(one[1], one[0]) for one in results.values()]
        for what, (one, _, third) in results.items():
            error = relative_error(third, one)
            # Where two equal runs differ, since sums of a GPU come in any order, so may this one.
            bound = GRADIENT[precision] if any(noises) else 0.0
            yield compared(PART, f"{name}: {what}", error, bound)
        states = {name: x for name, x in kept.weights.items() if "num_batches" in name}
        for key, number in states.items():
            if not torch.equal(number, other.weights[key]):
                yield failed(PART, f"{name}: {key}", "batch norms saw a batch twice")


def _predictions(setup: Setup, batches: list[Batch]) -> Iterator[Finding]:
    """Yield whether predicted classes are those of the CPU but for near ties."""
    batch = _labelled(setup)
    model = _segmenter(REFERENCE).eval()
    with torch.no_grad():
        logits = model(REFERENCE.put(batch).voxels)[batch.voxels.voxel_of_point]
    best = logits.topk(2, dim=1)
    gap = (best.values[:, 0] - best.values[:, 1]) / logits.std()
    scenes = torch.zeros(len(logits), dtype=torch.long)
    wanted = scene_confusion(batch.class_ids, best.indices[:, 0], scenes, 1, NUM_CLASSES)
    for precision in PRECISIONS:
        tie, share = NEAR_TIE[precision], OTHER_CLASSES[precision]
        place = Place(torch.device(setup.device), precision=precision)
        here = place.put(batch)
        with torch.no_grad(), place.autocast():
            predicted = predict_classes(_segmenter(place).eval(), here)
        other = predicted.cpu() != best.indices[:, 0]
        name = f"predictions, {precision}"
        yield compared(PART, f"{name}: share of other classes", float(other.double().mean()), share)
        clear = int((other & (gap > tie)).sum())
        yield replace(
            compared(PART, f"{name}: beyond near ties", float(clear), 0.0),
            figure=f"{clear} of {len(other)} points",
        )
        counts = scene_confusion(here.class_ids, predicted, place.put(scenes), 1, NUM_CLASSES)
        moved = (counts.cpu() - wanted).abs().sum() / 2 / wanted.sum()
        yield compared(PART, f"{name}: points in other cells of the counts", float(moved), share)
    yield equal(PART, "classes of voxels", voxel_classes(here), voxel_classes(batch))


def _stages(setup: Setup, batches: list[Batch]) -> Iterator[Finding]:
    """Yield whether the stages run on the device, with loader processes, probe, checkpoints."""
    frames, small = InMemoryFrames(), MinkUNet(stem_channels=8, planes=(8, 8), blocks=(1, 1))
    pretrained = config_of(ppkt_method(), 2, small).replace(num_epochs=2, num_channels=8)
    for precision in PRECISIONS[: 2 if setup.is_small else 3]:
        config = EvaluateConfig(
            pretrained=pretrained.replace(precision=precision),
            train=pretrained.data,
            val=pretrained.data,
            num_epochs=2,
            batch_frames=2,
            precision=precision,
            protocol="finetune",
        )
        runtime = Runtime(
            out=str(setup.scratch / precision),
            num_loader_workers=2,
            probe_every_epochs=1,
            recompute_activations=True,
            keep_teacher_maps=True,
            save_every_steps=2,
            allow=("fewer_pairs", "overlap"),
        )
        yield from _stage(config, runtime, LocalWorker(setup.device), frames)


def _stage(
    config: EvaluateConfig, runtime: Runtime, worker: LocalWorker, frames: Any
) -> Iterator[Finding]:
    name, tracker = f"the stages, {config.precision}", NullTracker()
    done = pretrain(config.pretrained, runtime, worker, tracker, _silent, frames=frames)
    yield measured(PART, f"{name}: pretraining", f"{done.num_steps} steps", steps=done.num_steps)
    again = pretrain(config.pretrained, runtime, worker, tracker, _silent, frames=frames)
    yield equal(
        PART, f"{name}: steps left after a resume", torch.tensor(again.num_steps), torch.tensor(0)
    )
    data = ExperimentData(frames, frames, frames)
    result = evaluate(config, runtime, worker, tracker, data=data, report=_silent)
    miou = result.scores["miou"]
    yield compared(PART, f"{name}: mIoU is one", 0.0 if 0 <= miou <= 100 else float("nan"), 0.0)


def _silent(done: int, total: int) -> None:
    """Report no progress."""
