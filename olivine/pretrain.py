"""The pretraining stage: image-to-LiDAR contrastive distillation."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from olivine.census import ABSENT_CLASSES, FEWER_PAIRS, require_pairs
from olivine.checkpoint import Checkpoints, load_state, save_state
from olivine.config import PretrainConfig, Runtime
from olivine.errors import UserError
from olivine.label_store import LabelStore
from olivine.loading import Samples, Schedule, make_cloud, make_sample, named, training_batches
from olivine.networks import Distillation
from olivine.objective import Objective
from olivine.parts import Frames
from olivine.progress import Report
from olivine.spec import Spec
from olivine.storage import Store, absolute
from olivine.superpoints import Superpoints
from olivine.tensors import Batch
from olivine.tracking import RunKey, Tracker
from olivine.training import Training, identity, seeded
from olivine.types import Frame, Sample
from olivine.worker import Worker

NUM_INPUT_CHANNELS = 1  # intensity


@dataclass(frozen=True)
class PretrainResult:
    """A pretrained backbone."""

    key: RunKey
    weights: str  # name of the file below `runtime.out`
    num_steps: int  # done now; 0 if everything was there


class PretrainSettings(Spec):
    """Gives a pretraining's settings the names they have within an experiment."""

    pretrained: PretrainConfig


def finished(config: PretrainConfig, runtime: Runtime, tracker: Tracker) -> PretrainResult | None:
    """Return what an earlier run of the same pretraining left, if it finished."""
    key = run_key(config, config.data.open(runtime.data_path(), runtime.cache_path()))
    if tracker.finished(key) and Store(runtime.out).exists(weights_name(key)):
        return PretrainResult(key, weights_name(key), 0)
    return None


def pretrain(
    config: PretrainConfig,
    runtime: Runtime,
    worker: Worker,
    tracker: Tracker,
    report: Report | None = None,
) -> PretrainResult:
    """Train, or go on training, and leave the backbone's weights below `runtime.out`.

    The same call after a crash goes on from the newest checkpoint. Every worker of a run calls
    it; only the first should have a tracker that remembers. Raises UserError for missing data or
    labels and for a loss that is not finite.
    """
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    key = run_key(config, frames)
    labels, segments = _labels(config, runtime, frames), _segments(config, runtime, frames)
    with tracker.run(key, _run_name(config), PretrainSettings(pretrained=config)) as run:
        model = build_model(config, len(labels.class_names) if labels else 1)
        num_steps = 0
        if config.num_epochs:
            reader = _Reader(config, frames, labels, segments, _clusters(config, runtime, frames))
            training = _training(config, runtime, worker, model, reader)
            checkpoints = Checkpoints(
                Store(runtime.out), f"pretrained/{key.fingerprint}/checkpoints"
            )
            num_steps = training.train(checkpoints, run, report)
        if worker.rank == 0:
            save_weights(Store(runtime.out), weights_name(key), model.backbone, config)
    return PretrainResult(key, weights_name(key), num_steps)


def run_key(config: PretrainConfig, frames: Frames) -> RunKey:
    """Return what identifies this pretraining: settings, data, labels and segments."""
    labels = config.labels.identity if config.labels and config.method.uses_classes else ""
    segments = config.segments.identity if config.segments and config.method.uses_segments else ""
    clusters = config.clusters.identity if config.clusters and config.method.uses_clusters else ""
    made = (labels, *filter(None, (segments, clusters)))
    return RunKey("pretrain", identity(config.fingerprint(), frames.fingerprint, *made))


def check_labels(config: PretrainConfig, runtime: Runtime) -> None:
    """Raise UserError if weak labels or segments that this pretraining reads were never made."""
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    _labels(config, runtime, frames)
    _segments(config, runtime, frames)


def weights_name(key: RunKey) -> str:
    """Return the name of a pretraining's weights below `runtime.out`."""
    return f"pretrained/{key.fingerprint}/backbone.pt"


def build_model(config: PretrainConfig, num_classes: int) -> Distillation:
    """Return the networks with weights drawn from the configuration's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(config.seed, "weights"))
        backbone = config.backbone.build(NUM_INPUT_CHANNELS)
        assert isinstance(backbone, nn.Module)
        teacher = config.teacher if config.num_epochs else None
        num_pixel_channels = teacher.num_channels if teacher else 1
        objective = Objective(config.method, config.num_channels, num_classes, num_pixel_channels)
        return Distillation(
            backbone=backbone,
            num_point_channels=config.backbone.num_channels,
            teacher=teacher.build() if teacher else None,
            num_pixel_channels=num_pixel_channels,
            objective=objective,
            heads=config.method.heads,
            num_channels=config.num_channels,
            hidden_channels=config.hidden_channels,
        )


def save_weights(store: Store, name: str, backbone: nn.Module, config: PretrainConfig) -> None:
    """Write a backbone and the settings that made it."""
    save_state(store, name, {"backbone": backbone.state_dict(), "config": config.to_yaml()})


def load_weights(store: Store, name: str, backbone: nn.Module, device: torch.device) -> None:
    """Read a backbone's weights; raise UserError if they are another architecture's."""
    state = load_state(store, name, device)["backbone"]
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[1].strip()
        raise UserError(
            f"The weights {store.path(name)} do not fit this backbone: {problem}"
        ) from None


def _training(
    config: PretrainConfig,
    runtime: Runtime,
    worker: Worker,
    model: Distillation,
    read: "_Reader",
) -> Training:
    schedule = Schedule(
        len(read.frames),
        config.batch_frames,
        config.num_epochs,
        config.seed,
        worker.rank,
        worker.world_size,
    )
    share = config.batch_frames // worker.world_size
    if share % config.contrast_frames:
        raise UserError(
            f"Each of {worker.world_size} workers gets {share} frames of a batch, which does not "
            f"hold whole groups of contrast_frames={config.contrast_frames}: use fewer workers or "
            "a larger batch_frames."
        )
    cache_bytes = runtime.loader_cache_mb * 1_000_000
    samples = Samples(
        read,
        named(config.augmentations),
        config.seed,
        cache_bytes,
        second_view=config.method.uses_second_view,
    )
    wrapped, objective = worker.wrap(model.train()), model.objective
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Training(
        name="pretrain",
        module=model,
        loss_of=_with_enough_pairs(loss_function(wrapped, config, worker), model, config, runtime),
        optimiser=config.optimiser.build([{"params": trainable}]),
        schedule=schedule,
        batches=lambda start: training_batches(
            samples, schedule, config.voxels, start, runtime.num_loader_workers
        ),
        worker=worker,
        state_metrics=objective.state_metrics,
        end_epoch=objective.census.close,
        check=lambda: _check_classes(objective, read.labels, runtime),
    )


LossOf = Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]


def _with_enough_pairs(
    loss_of: LossOf, model: Distillation, config: PretrainConfig, runtime: Runtime
) -> LossOf:
    """Return the loss; of a run's first step it is refused if a draw got less than it asked for.

    Later steps may: data vary, and what each term got is logged.
    """

    def guarded(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        losses = loss_of(batch, step)
        if step == 0 and FEWER_PAIRS not in runtime.allow:
            require_pairs(model.objective.draws(), config.contrast_frames)
        return losses

    return guarded


def _check_classes(objective: Objective, labels: LabelStore | None, runtime: Runtime) -> None:
    if labels is not None and ABSENT_CLASSES not in runtime.allow:
        objective.census.require_classes(labels.class_names)


def loss_function(module: nn.Module, config: PretrainConfig, worker: Worker) -> LossOf:
    """Return the loss of a batch at a step; draws depend on (seed, step, term, group) alone."""
    num_groups = config.batch_frames // worker.world_size // config.contrast_frames

    def group_of_frame(frame_index: Tensor) -> Tensor:
        return worker.rank * num_groups + frame_index // config.contrast_frames

    def loss_of(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        if len(batch.pairs) == 0 and config.method.uses_images:
            raise UserError(
                f"No point of the frames {', '.join(batch.tokens)} is seen by a camera: check the "
                "calibration, or ask less of the crop by pretrained.augmentations."
            )

        def generators(term: int, group: int) -> torch.Generator:
            seed = seeded(config.seed, "draw", step, term, group)
            return torch.Generator(worker.device).manual_seed(seed)

        return module(batch, group_of_frame, generators)

    return loss_of


@dataclass(frozen=True)
class _Reader:
    """Reads one sample; picklable, for loader processes."""

    config: PretrainConfig
    frames: Frames
    labels: LabelStore | None
    segments: LabelStore | None
    clusters: Superpoints | None

    def __call__(self, index: int) -> Sample:
        uses_images = self.config.method.uses_images
        frame = self.frames.frame(index, images=uses_images, classes=False)
        sample = self._with_images(frame) if uses_images else make_cloud(frame)
        if self.clusters is None:
            return sample
        here, later, there = self.clusters.of(index, frame)
        view = replace(make_cloud(later), cluster_ids=there)
        return replace(sample, cluster_ids=here, view=view)

    def _with_images(self, frame: Frame) -> Sample:
        return make_sample(
            frame,
            self.labels.read if self.labels else None,
            self.frames.camera_names,
            self.config.empty_camera,
            self.segments.read if self.segments else None,
        )


def _labels(config: PretrainConfig, runtime: Runtime, frames: Frames) -> LabelStore | None:
    if config.labels is None or not config.method.uses_classes or config.num_epochs == 0:
        return None
    if config.labels.makes == "segments":
        terms = [name for name, term in config.method.active().items() if term.uses_classes]
        raise UserError(
            f"pretrained.labels.kind={config.labels.kind} makes segments without names, and these "
            f"terms of the method need classes: {', '.join(terms)}. Choose a labeller of classes, "
            "or set the terms' weights to 0 by --set pretrained.method.terms.TERM.weight=0."
        )
    store = LabelStore.open(runtime.out, frames.fingerprint, config.labels.identity)
    if store.class_names != config.labels.class_names:
        raise UserError(
            f"The labels at {store.path} have {len(store.class_names)} classes "
            f"({', '.join(store.class_names)}), and pretrained.labels.kind={config.labels.kind} "
            f"has {len(config.labels.class_names)} ({', '.join(config.labels.class_names)}): "
            "remove that folder and run `olivine label` again."
        )
    return store


def _segments(config: PretrainConfig, runtime: Runtime, frames: Frames) -> LabelStore | None:
    if config.segments is None or not config.method.uses_segments or config.num_epochs == 0:
        return None
    if config.segments.makes != "segments":
        raise UserError(
            f"pretrained.segments.kind={config.segments.kind} makes classes; a term that pools by "
            "superpixels needs segments, such as --set pretrained.segments.kind=slic."
        )
    return LabelStore.open(runtime.out, frames.fingerprint, config.segments.identity)


def _clusters(config: PretrainConfig, runtime: Runtime, frames: Frames) -> Superpoints | None:
    if config.clusters is None or not config.method.uses_clusters:
        return None
    return Superpoints(frames, config.clusters, Store(absolute(runtime.out)))


def _run_name(config: PretrainConfig) -> str:
    terms = "+".join(config.method.active()) if config.num_epochs else "random"
    return f"pretrain {terms} seed {config.seed}"
