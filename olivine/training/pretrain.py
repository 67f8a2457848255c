"""The pretraining stage: image-to-LiDAR contrastive distillation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import Field
from torch import Tensor

from olivine.core.errors import UserError
from olivine.core.hashing import combined_hash
from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.data.dataset import Frames
from olivine.data.identity.split import identity_of
from olivine.data.loader import training_batches
from olivine.data.samples import Samples, named
from olivine.data.schedule import Schedule
from olivine.methods.class_counts import ABSENT_CLASSES
from olivine.methods.distillation import Distillation
from olivine.methods.objective import Objective
from olivine.models.activation_checkpointing import recompute_activations
from olivine.tracking.reused import Reused
from olivine.tracking.tracker import RunKey, Tracker
from olivine.training.checkpoints import Checkpoints
from olivine.training.config import PretrainConfig
from olivine.training.data_use import DataUse, say_why_not_reused
from olivine.training.finished_runs import (
    OUT,
    find_finished,
    ignoring_finished,
    one_at_a_time,
)
from olivine.training.loader_processes import loader_tag, num_loader_processes
from olivine.training.loop import Trainer, TrainingHooks
from olivine.training.pretrain_data import PretrainData, caches_maps, map_cache
from olivine.training.pretrained_networks import build_model, loss_function, with_enough_pairs
from olivine.training.pretrained_weights import best_weights_name, save_weights, weights_name
from olivine.training.probe import PROBE_MIOU, PretrainingProbe
from olivine.training.worker import Worker


@dataclass(frozen=True)
class PretrainResult:
    """A pretrained backbone."""

    key: RunKey
    weights: str  # name of the file below `runtime.out`
    num_steps: int  # steps done by this call; 0 if the run was finished
    reused: Reused | None = field(default=None, compare=False)  # the finished run that was reused


@dataclass(frozen=True)
class PretrainHooks(TrainingHooks):
    """Counts the classes of the first epoch, and scores the features after an epoch."""

    objective: Objective
    probe: PretrainingProbe | None
    class_names: Sequence[str]  # of the weak labels
    runtime: Runtime

    best_by = PROBE_MIOU

    def state_metrics(self) -> dict[str, Tensor]:
        """Return the state of the method's terms."""
        return self.objective.state_metrics()

    def end_epoch(self) -> None:
        """Complete the class counts of the first epoch."""
        self.objective.class_counts.close()

    def measure(self, epoch: int) -> dict[str, float]:
        """Return the probe's score if it is due after this epoch."""
        return self.probe.after_epoch(epoch) if self.probe else {}

    def before_save(self) -> None:
        """Bring the class counts of all workers to the first one, which saves them."""
        self.objective.class_counts.gather()

    def check(self) -> None:
        """Raise UserError if a class of the weak labels had no point in the first epoch."""
        if ABSENT_CLASSES not in self.runtime.allow:
            self.objective.class_counts.require_classes(self.class_names)


class PretrainSettings(Spec):
    """A pretraining's settings under the names that they have within an experiment."""

    pretrained: PretrainConfig = Field(description="Settings of the pretraining.")


def finished(
    config: PretrainConfig, frames: Frames, runtime: Runtime, tracker: Tracker
) -> PretrainResult | None:
    """Return the result of a finished run of the same pretraining, or None."""
    key = pretraining_key(config, frames)
    record = find_finished(key, runtime, tracker, [weights_name(key)])
    if record is None:
        return None
    return PretrainResult(key, weights_name(key), 0, Reused("the pretraining", record))


def begin_anew(config: PretrainConfig, frames: Frames, runtime: Runtime, tracker: Tracker) -> None:
    """Prepare a run where `finished` found none.

    It says why a finished run of equal settings is not reused, and deletes the checkpoints of one
    that is to be run again (`not_before_s`). Raises UserError for labels that are missing or of
    other images.
    """
    key = pretraining_key(config, frames)
    uses = (data_use(config, frames),)
    settings = PretrainSettings(pretrained=config)
    say_why_not_reused(key.stage, settings, uses, runtime, tracker)
    PretrainData.open(config, runtime, frames)
    if runtime.not_before_s and tracker.finished(key):
        _checkpoints(key, runtime).clear()


def find_or_pretrain(
    config: PretrainConfig,
    runtime: Runtime,
    worker: Worker,
    tracker: Tracker,
    *,
    frames: Frames | None = None,
    force: bool = False,
) -> PretrainResult:
    """Return the result of a finished run, or pretrain here while other processes wait.

    `frames` is the opened data set; without it, it is opened here. `force` runs the pretraining
    again if it is finished, from the start. Raises UserError as `pretrain` does.
    """
    if force:
        runtime = ignoring_finished(runtime)
    frames = frames or open_frames(config, runtime)
    with one_at_a_time(pretraining_key(config, frames), runtime):
        done = finished(config, frames, runtime, tracker)
        if done is None:
            begin_anew(config, frames, runtime, tracker)
            done = pretrain(config, runtime, worker, tracker, frames=frames)
    return done


def pretrain(
    config: PretrainConfig,
    runtime: Runtime,
    worker: Worker,
    tracker: Tracker,
    report: Report | None = None,
    *,
    frames: Frames | None = None,
) -> PretrainResult:
    """Train, or go on training, and write the backbone's weights below `runtime.out`.

    `frames` is the opened data set; without it, it is opened here. The same call after a crash
    goes on from the newest checkpoint. Every worker of a run calls it; only the first should have
    a tracker that records. With `runtime.probe_every_epochs` the weights of the epoch with the
    best probe score are written beside them as `backbone_best.pt`; an evaluation takes the last
    ones all the same. Raises UserError for missing data or labels and for a loss that is not
    finite.
    """
    frames = frames or open_frames(config, runtime)
    key = pretraining_key(config, frames)
    data = PretrainData.open(config, runtime, frames)
    caches_maps(config, runtime)
    data_read = data_use(config, frames)
    tags = {OUT: runtime.out, "dataset": data_read.fingerprint, **data_read.tags()}
    tags |= loader_tag(runtime, worker)
    if config.labels and config.method.uses_classes:
        tags["labels"] = config.labels.identity
    with tracker.run(key, _run_name(config), PretrainSettings(pretrained=config), tags) as run:
        run.log_dataset(config.data.kind, data_read.fingerprint, str(frames.root), "train")
        model = build_model(config, max(len(data.class_names), 1), worker.device)
        probe = None
        if runtime.probe_every_epochs:
            probe = PretrainingProbe.open(config, runtime, worker, model.backbone, frames)
        store, num_steps, last_step = Store(runtime.out), 0, 0
        checkpoints = _checkpoints(key, runtime)
        if config.num_epochs:
            trainer = _trainer(config, runtime, worker, model, data, probe=probe)
            last_step = trainer.schedule.steps_per_epoch * config.num_epochs
            num_steps = trainer.train(checkpoints, run, report)
        best = probe.conclude(checkpoints, run, num_steps, last_step) if probe else None
        if worker.rank == 0:
            save_weights(store, weights_name(key), model.backbone.state_dict(), config, frames)
            if best:
                save_weights(store, best_weights_name(key), best, config, frames)
            path, num_channels = store.path(weights_name(key)), config.backbone.num_channels
            run.log_model("backbone", path, config.to_yaml(), num_channels)
    return PretrainResult(key, weights_name(key), num_steps)


def _checkpoints(key: RunKey, runtime: Runtime) -> Checkpoints:
    return Checkpoints(Store(runtime.out), f"pretrained/{key.fingerprint}/checkpoints")


def pretraining_key(config: PretrainConfig, frames: Frames) -> RunKey:
    """Return the key of a pretraining's run.

    It identifies the settings, the data, and everything that was made or trained before: weak
    labels, segments, superpoints, and the weights of teacher and backbone. Raises UserError if
    files of the split are missing.
    """
    labels = config.labels.identity if config.labels and config.method.uses_classes else ""
    segments = config.segments.identity if config.segments and config.method.uses_segments else ""
    clusters = config.clusters.identity if config.clusters and config.method.uses_clusters else ""
    teaches = config.teacher and config.method.uses_pixels and config.num_epochs
    teacher = config.teacher.identity if config.teacher and teaches else ""
    made = (labels, *filter(None, (segments, clusters, teacher, config.backbone.identity)))
    data_read = data_use(config, frames)
    data_read.identity.require(*data_read.parts)
    return RunKey("pretrain", combined_hash(config.fingerprint(), data_read.fingerprint, *made))


def data_use(config: PretrainConfig, frames: Frames) -> DataUse:
    """Return what a pretraining reads of its split.

    Point labels count only if weak labels or segments are made of them, so adding them to a data
    set loses no pretraining. Without an epoch nothing is read.
    """
    parts = {"scans"} | ({"images"} if config.method.uses_images else set())
    used = (
        (config.labels, config.method.uses_classes),
        (config.segments, config.method.uses_segments),
    )
    for labeller, is_used in used:
        parts |= set(labeller.reads if labeller and is_used else ())
    read = tuple(sorted(parts)) if config.num_epochs else ()
    return DataUse("pretrain", identity_of(frames), read)


def open_frames(config: PretrainConfig, runtime: Runtime) -> Frames:
    """Return the frames that a pretraining reads; raise UserError if they are not there."""
    return config.data.open(runtime.data_path(), runtime.cache_path())


def check_labels(config: PretrainConfig, runtime: Runtime, frames: Frames | None = None) -> None:
    """Raise UserError if weak labels or segments that this pretraining reads cannot be used.

    They were never made, or are of other images. It also raises if the teacher's maps are to be
    cached although augmentations change images at random.
    """
    PretrainData.open(config, runtime, frames or open_frames(config, runtime))
    caches_maps(config, runtime)


def _trainer(
    config: PretrainConfig,
    runtime: Runtime,
    worker: Worker,
    model: Distillation,
    data: PretrainData,
    *,
    probe: PretrainingProbe | None,
) -> Trainer:
    schedule = _schedule(config, worker, len(data.frames))
    cache_bytes = runtime.loader_cache_mb * 1_000_000
    samples = Samples(
        data,
        named(config.augmentations),
        config.seed,
        cache_bytes,
        second_view=config.method.uses_second_view,
    )
    if caches_maps(config, runtime):
        model.map_cache = map_cache(config, runtime, worker, samples, data.frames)
    if runtime.recompute_activations:
        recompute_activations(model.backbone, config.backbone.kind)
    wrapped = worker.wrap(model.train())
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Trainer(
        "pretrain",
        model,
        wrapped,
        loss_of=with_enough_pairs(loss_function(wrapped, config, worker), model, config, runtime),
        settings=config.optimiser,
        optimiser=config.optimiser.build([{"params": trainable}]),
        schedule=schedule,
        batches=lambda start: training_batches(
            samples,
            schedule,
            config.voxels,
            start,
            num_loader_processes(runtime, worker),
            batch_source=worker.batch_source,
            read_maps=model.map_cache.read if model.map_cache else None,
        ),
        worker=worker,
        precision=config.precision,
        save_every=runtime.save_every_steps,
        hooks=PretrainHooks(model.objective, probe, data.class_names, runtime),
    )


def _schedule(config: PretrainConfig, worker: Worker, num_frames: int) -> Schedule:
    """Return which frames this worker reads; raise UserError if it gets no whole groups."""
    schedule = Schedule(
        num_frames,
        config.batch_frames,
        config.num_epochs,
        config.seed,
        worker.rank,
        worker.world_size,
        config.accumulated_parts,
    )
    share = config.batch_frames // worker.world_size
    if share % (config.contrast_frames * config.accumulated_parts):
        parts = config.accumulated_parts
        raise UserError(
            f"Each of {worker.world_size} workers gets {share} frames of a batch, which"
            f"{f', in accumulated_parts={parts},' if parts > 1 else ''} does not hold whole groups "
            f"of contrast_frames={config.contrast_frames}: use fewer workers or a larger "
            "batch_frames."
        )
    return schedule


def _run_name(config: PretrainConfig) -> str:
    terms = "+".join(config.method.active()) if config.num_epochs else "random"
    return f"pretrain {terms} seed {config.seed}"
