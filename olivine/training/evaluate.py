"""The evaluation stage: linear probe and fine-tuning with few labels (method.md §8)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from olivine.core.checksums import write_checked
from olivine.core.errors import UserError
from olivine.core.hashing import combined_hash, seeded
from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.batch import Batch
from olivine.data.dataset import Frames
from olivine.data.identity.split import identity_of
from olivine.data.loader import training_batches
from olivine.data.samples import Samples, named
from olivine.data.scenes import OVERLAP_TAG
from olivine.data.schedule import Schedule
from olivine.methods.matched import StepPart
from olivine.models.activation_checkpointing import recompute_activations
from olivine.tracking.reused import Reused
from olivine.tracking.tracker import RunKey, Tracker
from olivine.training import pretrain as pretraining
from olivine.training.checkpoints import Checkpoints
from olivine.training.config import EvaluateConfig
from olivine.training.data_use import DataUse, say_why_not_reused
from olivine.training.evaluated_network import (
    NetworkDescription,
    checkpoints_folder,
    description_name,
    tensors_hash,
)
from olivine.training.experiment_data import ExperimentData, overlap_of, require_apart
from olivine.training.finished_runs import (
    OUT,
    find_finished,
    ignoring_finished,
)
from olivine.training.loader_processes import loader_tag, num_loader_processes
from olivine.training.loop import LossOf, Trainer, device_hours_of
from olivine.training.pretrained_networks import build_model
from olivine.training.pretrained_weights import load_weights, weights_name
from olivine.training.scene_counts import SceneCounts
from olivine.training.segmentation import batch_losses
from olivine.training.segmenter import Segmenter, voxel_classes
from olivine.training.validation import (
    CloudReader,
    confusions_name,
    named_scores,
    predictions_name,
    validate,
)
from olivine.training.worker import Worker


@dataclass(frozen=True)
class EvaluateResult:
    """The scores of one experiment."""

    key: RunKey
    scores: Mapping[str, float]  # miou, accuracy and iou/<class>, in percent
    predictions: str  # name of the first validation frame's predictions below `runtime.out`
    reused: tuple[Reused, ...] = field(default=(), compare=False)  # earlier runs that were reused
    overlap: str = ""  # what the network learnt of the scored scenes; empty: nothing


def finished(
    config: EvaluateConfig, data: ExperimentData, runtime: Runtime, tracker: Tracker
) -> EvaluateResult | None:
    """Return the scores of a finished run of the same experiment, or None."""
    key = evaluation_key(config, data)
    files = [predictions_name(key.fingerprint)]
    record = find_finished(key, runtime, tracker, files, key.fingerprint)
    if record is None:
        return None
    names = [name for name in record.metrics if name.startswith(SCORE)]
    scores = {name.removeprefix(SCORE): record.metrics[name] for name in names}
    reused = (Reused("the evaluation", record),)
    name, overlap = predictions_name(key.fingerprint), overlap_of(config, data)
    return EvaluateResult(key, scores, name, reused, overlap)


def begin_anew(
    config: EvaluateConfig, data: ExperimentData, runtime: Runtime, tracker: Tracker
) -> None:
    """Prepare a run where `finished` found none.

    It says why a finished run of equal settings is not reused, and deletes the checkpoints of one
    that is to be run again (`not_before_s`).
    """
    key = evaluation_key(config, data)
    say_why_not_reused(key.stage, config, data_uses(data), runtime, tracker)
    if runtime.not_before_s and tracker.finished(key):
        _checkpoints(key, runtime).clear()


def _checkpoints(key: RunKey, runtime: Runtime) -> Checkpoints:
    return Checkpoints(Store(runtime.out), checkpoints_folder(key.fingerprint), num_kept=1)


PRETRAINED = "olivine.pretrained"  # tag: fingerprint of the pretraining
SCORE = "val/"  # before the name of a score among a run's metrics


def evaluation_key(config: EvaluateConfig, data: ExperimentData) -> RunKey:
    """Return the key of an experiment's run: of its settings, its data and its pretraining.

    Raises UserError if files of a split are missing.
    """
    pretrained = pretraining.pretraining_key(config.pretrained, data.pretrain)
    uses = data_uses(data)
    for one in uses:
        one.identity.require(*one.parts)
    read = [one.fingerprint for one in uses]
    return RunKey("evaluate", combined_hash(config.fingerprint(), pretrained.fingerprint, *read))


def data_uses(data: ExperimentData) -> tuple[DataUse, DataUse]:
    """Return what an evaluation reads of the splits for training and for scoring."""
    parts = ("point_labels", "scans")
    return (
        DataUse("train", identity_of(data.train), parts),
        DataUse("val", identity_of(data.val), parts),
    )


def evaluate(
    config: EvaluateConfig,
    runtime: Runtime,
    worker: Worker,
    tracker: Tracker,
    *,
    data: ExperimentData | None = None,
    report: Report | None = None,
    tags: Mapping[str, str] | None = None,
) -> EvaluateResult:
    """Train the head (or everything) on few labels and score all points of the validation split.

    `data` are the experiment's data sets; without it they are opened here. The pretraining must
    have left its weights below `runtime.out`. Scores are those of the last epoch, so no epoch is
    chosen by its score. Raises UserError for missing weights, data or point labels, for a loss
    that is not finite, and for scenes that train and are scored.
    """
    data = data or ExperimentData.open(config, runtime)
    data.require_labels()
    overlap = require_apart(config, data, runtime)
    train, val = data.train, data.val
    pretrained_key = pretraining.pretraining_key(config.pretrained, data.pretrain)
    key = evaluation_key(config, data)
    store = Store(runtime.out)
    model = _build(config, len(train.class_names), store, pretrained_key, worker)
    uses = data_uses(data)
    read = {**loader_tag(runtime, worker), **uses[0].tags(), **uses[1].tags()}
    read |= {OVERLAP_TAG: overlap} if overlap else {}
    tags = {PRETRAINED: pretrained_key.fingerprint, OUT: runtime.out, **read, **(tags or {})}
    with tracker.run(key, _run_name(config), config, tags) as run:
        run.log_dataset(config.train.kind, uses[0].fingerprint, str(train.root), "train")
        run.log_dataset(config.val.kind, uses[1].fingerprint, str(val.root), "val")
        trainer = _trainer(config, runtime, worker, model, train)
        trainer.train(_checkpoints(key, runtime), run, report)
        counts, first = validate(config, runtime, worker, model.eval(), val)
        scores = named_scores(counts.sum(0), val.class_names, config.absent)
        run.log_metrics({f"{SCORE}{name}": value for name, value in scores.items()}, 0)
        if worker.rank == 0:
            scenes = tuple(dict.fromkeys(val.scenes()))
            by_scene = SceneCounts(scenes, counts.cpu().numpy(), val.class_names, config.absent)
            note = NetworkDescription(config, val.class_names, tensors_hash(model.state_dict()))
            files = {
                confusions_name(key.fingerprint): (by_scene.to_bytes(), key.fingerprint),
                description_name(key.fingerprint): (note.to_bytes(), ""),
                predictions_name(key.fingerprint): (first, key.fingerprint),
            }
            for name, (content, subject) in files.items():
                write_checked(store, name, content, subject)
    return EvaluateResult(key, scores, predictions_name(key.fingerprint), overlap=overlap)


def _build(
    config: EvaluateConfig, num_classes: int, store: Store, pretrained: RunKey, worker: Worker
) -> Segmenter:
    # Without epochs no teacher is loaded or compiled; the weights are read below.
    # The network is the evaluation's: its batch norms, for one, may have another momentum.
    pretrained_config = config.pretrained.replace(num_epochs=0, backbone=config.evaluated_backbone)
    model = build_model(pretrained_config, 1)
    name = weights_name(pretrained)
    if not store.exists(name):
        raise UserError(
            f"No pretrained weights at {store.path(name)}; run `olivine pretrain` with the same "
            "settings first."
        )
    load_weights(store, name, model.backbone, torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(config.seed, "head"))
        frozen = config.protocol == "linear_probe"
        return Segmenter(
            model.backbone, config.pretrained.backbone.num_channels, num_classes, frozen
        )


def _trainer(
    config: EvaluateConfig, runtime: Runtime, worker: Worker, model: Segmenter, train: Frames
) -> Trainer:
    schedule = Schedule(
        len(train),
        config.batch_frames,
        config.num_epochs,
        config.seed,
        worker.rank,
        worker.world_size,
    )
    samples = Samples(
        CloudReader(train),
        named(config.augmentations),
        config.seed,
        runtime.loader_cache_mb * 1_000_000,
    )
    if runtime.recompute_activations and not model.frozen:
        recompute_activations(model.backbone, config.pretrained.backbone.kind)
    wrapped = worker.wrap(model.train())
    groups = [
        {"params": list(model.head.parameters()), "lr": config.head_lr or config.optimiser.lr}
    ]
    if not model.frozen:
        groups.append({"params": list(model.backbone.parameters()), "lr": config.optimiser.lr})
    return Trainer(
        "probe" if model.frozen else "finetune",
        model,
        wrapped,
        loss_of=_loss_function(wrapped, config.lovasz_weight),
        settings=config.optimiser,
        optimiser=config.optimiser.build(groups),
        schedule=schedule,
        batches=lambda start: training_batches(
            samples,
            schedule,
            config.pretrained.voxels,
            start,
            num_loader_processes(runtime, worker),
            batch_source=worker.batch_source,
        ),
        worker=worker,
        precision=config.precision,
        save_every=runtime.save_every_steps,
    )


def _loss_function(module: nn.Module, lovasz_weight: float) -> LossOf:
    def loss_of(batch: Batch, step: int, part: StepPart) -> tuple[Tensor, dict[str, Tensor]]:
        values = batch_losses(module(batch.voxels), voxel_classes(batch), lovasz_weight)
        return torch.stack(list(values.values())).sum(), values

    return loss_of


def _run_name(config: EvaluateConfig) -> str:
    terms = (
        "+".join(config.pretrained.method.active()) if config.pretrained.num_epochs else "random"
    )
    return f"{config.protocol} {terms} seed {config.seed}"


def device_hours(config: EvaluateConfig, data: ExperimentData, tracker: Tracker) -> float:
    """Return the device-hours of an experiment's evaluation and of its pretraining.

    The pretraining counts in full, even if other experiments share it.
    """
    keys = (
        pretraining.pretraining_key(config.pretrained, data.pretrain),
        evaluation_key(config, data),
    )
    records = [record for key in keys if (record := tracker.finished(key)) is not None]
    return sum(device_hours_of(record.metrics) for record in records)


def experiment(
    config: EvaluateConfig,
    runtime: Runtime,
    worker: Worker,
    tracker: Tracker,
    *,
    data: ExperimentData | None = None,
    force: bool = False,
) -> EvaluateResult:
    """Pretrain and evaluate, each unless it is finished, and return the experiment's scores.

    `data` are the experiment's data sets; without it they are opened here. `force` runs both
    again, from the start.
    """
    if force:
        runtime = ignoring_finished(runtime)
    data = data or ExperimentData.open(config, runtime)
    require_apart(config, data, runtime)
    data.require_labels()  # before a pretraining of hours
    pretrained = pretraining.find_or_pretrain(
        config.pretrained, runtime, worker, tracker, frames=data.pretrain
    )
    done = finished(config, data, runtime, tracker)
    if done is None:
        begin_anew(config, data, runtime, tracker)
        done = evaluate(config, runtime, worker, tracker, data=data)
    return with_pretraining(done, pretrained)


def with_pretraining(
    result: EvaluateResult, pretrained: pretraining.PretrainResult
) -> EvaluateResult:
    """Return a result that also names a pretraining which was reused."""
    earlier = (pretrained.reused,) if pretrained.reused else ()
    return replace(result, reused=(*earlier, *result.reused))
