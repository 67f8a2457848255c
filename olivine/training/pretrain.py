"""The pretraining stage: image-to-LiDAR contrastive distillation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from pydantic import Field
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.core.hashing import combined_hash, seeded
from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.data.batch import Batch
from olivine.data.dataset import Frames
from olivine.data.loader import training_batches
from olivine.data.samples import Samples, named
from olivine.data.schedule import Schedule
from olivine.methods.class_counts import ABSENT_CLASSES, FEWER_PAIRS, require_pairs
from olivine.methods.distillation import Distillation
from olivine.methods.matched import WHOLE, StepPart
from olivine.methods.objective import Objective
from olivine.models.activation_checkpointing import recompute_activations
from olivine.models.backbones.published_checkpoints import load_checkpoint
from olivine.models.teachers.map_cache import TeacherMapCache, require_fixed_images
from olivine.models.weights import locate
from olivine.tracking.reused import Reused
from olivine.tracking.tracker import RunKey, Tracker
from olivine.training.checkpoints import Checkpoints, load_state, save_state
from olivine.training.config import PretrainConfig
from olivine.training.finished_runs import OUT, find_finished, ignoring_finished, one_at_a_time
from olivine.training.loop import LossOf, Trainer, TrainingHooks
from olivine.training.pretrain_data import PretrainData
from olivine.training.probe import PROBE_MIOU, PretrainingProbe
from olivine.training.worker import Worker

NUM_INPUT_CHANNELS = 1  # intensity


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


def clear_checkpoints(
    config: PretrainConfig, frames: Frames, runtime: Runtime, tracker: Tracker
) -> None:
    """Delete the checkpoints of a finished run that is to be run again (`not_before_s`)."""
    key = pretraining_key(config, frames)
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
            clear_checkpoints(config, frames, runtime, tracker)
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
    _caches_maps(config, runtime)
    tags = {OUT: runtime.out, "dataset": frames.fingerprint}
    if config.labels and config.method.uses_classes:
        tags["labels"] = config.labels.identity
    with tracker.run(key, _run_name(config), PretrainSettings(pretrained=config), tags) as run:
        run.log_dataset(config.data.kind, frames.fingerprint, str(frames.root), "train")
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
            save_weights(store, weights_name(key), model.backbone.state_dict(), config)
            if best:
                save_weights(store, best_weights_name(key), best, config)
            path, num_channels = store.path(weights_name(key)), config.backbone.num_channels
            run.log_model("backbone", path, config.to_yaml(), num_channels)
    return PretrainResult(key, weights_name(key), num_steps)


def _checkpoints(key: RunKey, runtime: Runtime) -> Checkpoints:
    return Checkpoints(Store(runtime.out), f"pretrained/{key.fingerprint}/checkpoints")


def pretraining_key(config: PretrainConfig, frames: Frames) -> RunKey:
    """Return the key of a pretraining's run.

    It identifies the settings, the data, and everything that was made or trained before: weak
    labels, segments, superpoints, and the weights of teacher and backbone.
    """
    labels = config.labels.identity if config.labels and config.method.uses_classes else ""
    segments = config.segments.identity if config.segments and config.method.uses_segments else ""
    clusters = config.clusters.identity if config.clusters and config.method.uses_clusters else ""
    teaches = config.teacher and config.method.uses_pixels and config.num_epochs
    teacher = config.teacher.identity if config.teacher and teaches else ""
    made = (labels, *filter(None, (segments, clusters, teacher, config.backbone.identity)))
    return RunKey("pretrain", combined_hash(config.fingerprint(), frames.fingerprint, *made))


def open_frames(config: PretrainConfig, runtime: Runtime) -> Frames:
    """Return the frames that a pretraining reads; raise UserError if they are not there."""
    return config.data.open(runtime.data_path(), runtime.cache_path())


def check_labels(config: PretrainConfig, runtime: Runtime) -> None:
    """Raise UserError if weak labels or segments that this pretraining reads were never made.

    It also raises if the teacher's maps are to be cached although augmentations change images at
    random.
    """
    PretrainData.open(config, runtime, open_frames(config, runtime))
    _caches_maps(config, runtime)


def weights_name(key: RunKey) -> str:
    """Return the name of a pretraining's weights below `runtime.out`."""
    return f"pretrained/{key.fingerprint}/backbone.pt"


def best_weights_name(key: RunKey) -> str:
    """Return the name of the weights of the epoch with the best probe score."""
    return f"pretrained/{key.fingerprint}/backbone_best.pt"


def build_model(
    config: PretrainConfig, num_classes: int, device: torch.device | None = None
) -> Distillation:
    """Return the networks with weights drawn from the configuration's seed.

    `device` is the device on which they will run (None: the CPU); it decides the teacher's number
    format.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(config.seed, "weights"))
        backbone = config.backbone.build(NUM_INPUT_CHANNELS)
        assert isinstance(backbone, nn.Module)
        if config.backbone.weights:
            path = locate(config.backbone.weights)
            load_checkpoint(backbone, path, config.voxels, config.backbone.kind)
        teacher = config.teacher if config.num_epochs else None
        num_pixel_channels = teacher.num_channels if teacher else 1
        objective = Objective(config.method, config.num_channels, num_classes, num_pixel_channels)
        return Distillation(
            backbone=backbone,
            num_point_channels=config.backbone.num_channels,
            teacher=teacher.build(device) if teacher else None,
            num_pixel_channels=num_pixel_channels,
            objective=objective,
            heads=config.method.heads,
            num_channels=config.num_channels,
            hidden_channels=config.hidden_channels,
        )


def save_weights(
    store: Store, name: str, backbone: Mapping[str, Tensor], config: PretrainConfig
) -> None:
    """Write a backbone's weights with the settings that made them."""
    save_state(store, name, {"backbone": backbone, "config": config.to_yaml()})


def load_weights(store: Store, name: str, backbone: nn.Module, device: torch.device) -> None:
    """Read a backbone's weights; raise UserError if they belong to another architecture."""
    fit_weights(backbone, load_state(store, name, device)["backbone"], store.path(name))


def fit_weights(backbone: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Set a backbone's weights; raise UserError that names `source` if they do not fit."""
    try:
        backbone.load_state_dict(weights)
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[1].strip()
        raise UserError(f"The weights {source} do not fit this backbone: {problem}") from None


def _trainer(
    config: PretrainConfig,
    runtime: Runtime,
    worker: Worker,
    model: Distillation,
    data: PretrainData,
    *,
    probe: PretrainingProbe | None,
) -> Trainer:
    schedule = Schedule(
        len(data.frames),
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
    cache_bytes = runtime.loader_cache_mb * 1_000_000
    samples = Samples(
        data,
        named(config.augmentations),
        config.seed,
        cache_bytes,
        second_view=config.method.uses_second_view,
    )
    if _caches_maps(config, runtime):
        model.map_cache = _map_cache(config, runtime, worker, samples, data.frames)
    if runtime.recompute_activations:
        recompute_activations(model.backbone, config.backbone.kind)
    wrapped = worker.wrap(model.train())
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Trainer(
        "pretrain",
        model,
        wrapped,
        loss_of=_with_enough_pairs(loss_function(wrapped, config, worker), model, config, runtime),
        settings=config.optimiser,
        optimiser=config.optimiser.build([{"params": trainable}]),
        schedule=schedule,
        batches=lambda start: training_batches(
            samples,
            schedule,
            config.voxels,
            start,
            runtime.num_loader_workers,
            batch_source=worker.batch_source,
            read_maps=model.map_cache.read if model.map_cache else None,
        ),
        worker=worker,
        precision=config.precision,
        save_every=runtime.save_every_steps,
        hooks=PretrainHooks(model.objective, probe, data.class_names, runtime),
    )


def _caches_maps(config: PretrainConfig, runtime: Runtime) -> bool:
    """Return whether the teacher's maps are cached; raise UserError if images change at random."""
    teaches = config.teacher is not None and config.method.uses_pixels and config.num_epochs > 0
    if not (runtime.keep_teacher_maps and teaches):
        return False
    require_fixed_images(config.augmentations)
    return True


def _map_cache(
    config: PretrainConfig, runtime: Runtime, worker: Worker, samples: Samples, frames: Frames
) -> TeacherMapCache:
    """Return the cache of the teacher's maps, after its size is printed."""
    assert config.teacher is not None
    images = samples[0, 0].images
    maps = TeacherMapCache.open(
        Store(runtime.out),
        config.teacher,
        frames,
        augmentations=samples.augmentations,
        image_size_px=images[0].size_px,
        precision=config.precision,
        device=worker.device,
    )
    maps.announce(len(frames), len(images), prints=worker.rank == 0)
    return maps


def _with_enough_pairs(
    loss_of: LossOf, model: Distillation, config: PretrainConfig, runtime: Runtime
) -> LossOf:
    """Return the loss with a check, in a run's first step, of the number of pairs.

    Later steps may have fewer, since data vary; the number of pairs of each term is logged.
    """

    def guarded(batch: Batch, step: int, part: StepPart) -> tuple[Tensor, dict[str, Tensor]]:
        losses = loss_of(batch, step, part)
        if step == 0 and FEWER_PAIRS not in runtime.allow:
            require_pairs(model.objective.sampled_pairs(), config.contrast_frames)
        return losses

    return guarded


def loss_function(module: nn.Module, config: PretrainConfig, worker: Worker) -> LossOf:
    """Return the loss of a batch at a step; sampling depends on (seed, step, term, group) alone."""
    part_frames = config.batch_frames // worker.world_size // config.accumulated_parts
    num_groups = part_frames // config.contrast_frames

    def loss_of(
        batch: Batch, step: int, part: StepPart = WHOLE
    ) -> tuple[Tensor, dict[str, Tensor]]:
        first = (worker.rank * config.accumulated_parts + part.index) * num_groups
        if len(batch.pairs) == 0 and config.method.uses_images:
            raise UserError(
                f"No point of the frames {', '.join(batch.tokens)} is seen by a camera: check the "
                "calibration, or ask less of the crop by pretrained.augmentations."
            )

        def generators(term: int, group: int) -> torch.Generator:
            seed = seeded(config.seed, "draw", step, term, group)
            return torch.Generator(worker.device).manual_seed(seed)

        def group_of_frame(frame_index: Tensor) -> Tensor:
            return first + frame_index // config.contrast_frames

        return module(batch, group_of_frame, generators, part)

    return loss_of


def _run_name(config: PretrainConfig) -> str:
    terms = "+".join(config.method.active()) if config.num_epochs else "random"
    return f"pretrain {terms} seed {config.seed}"
