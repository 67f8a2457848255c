"""What a run is, and where it happens.

`EvaluateConfig` contains its `PretrainConfig`, which names its labeller: one value is a whole
experiment. `Runtime` holds paths, workers and hardware, and changes no result.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from olivine.buckets import is_bucket
from olivine.errors import UserError
from olivine.geometry.voxels import Voxelizer
from olivine.network_parts import Backbone, Labeller, Teacher
from olivine.objective import Method
from olivine.optim import Optimiser, Precision
from olivine.optimisers.sgd import Sgd
from olivine.parts import Augmentation, Clustering, Dataset
from olivine.spec import Spec
from olivine.storage import Place, absolute


def _listed(value: Any) -> Any:
    """Take "a,b" for ["a", "b"]: some shells want brackets quoted."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Runtime(Spec):
    """Everything about a run that its fingerprint leaves out."""

    data_root: Place = "data/nuscenes"  # folder that holds samples/ and v1.0-*/
    out: Place = "runs"  # labels, checkpoints, tables and the run store; a path or a bucket's URI
    tracking_uri: str = ""  # MLflow server or database; empty: SQLite in `out`
    launcher: Literal["ray", "process"] = "ray"  # process: no Ray, everything in this process
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_workers: int = 1  # processes that train one network together
    max_failures: int = 3  # lost workers that a training survives before it ends as failed
    num_loader_workers: int = 0  # processes that load data, per worker
    feed: Literal["loader", "ray_data"] = "loader"  # where they run: by the worker; on the cluster
    save_every_steps: int = Field(default=0, ge=0)  # checkpoints within epochs; 0: at their ends
    recompute_activations: bool = False  # the backbone's, when going back: less memory, more time
    loader_cache_mb: int = 1024  # samples kept in memory as read, per loading process
    # The teacher's maps kept in `out` for later epochs and seeds, where images are the same in all.
    # Of 28,130 frames of nuScenes: 354 GB by ScaLR's ViT-L in float32; a start says how many.
    keep_teacher_maps: bool = False
    probe_every_epochs: int = Field(default=0, ge=0)  # a pretraining's features scored; 0: never
    probe_frames: int = Field(default=40, ge=2)  # labelled ones of the training split, for that
    num_label_actors: int = Field(default=1, ge=1)  # at most; they start as images arrive
    min_label_actors: int = Field(default=1, ge=1)  # held from the start, and to the end
    gpus_per_label_actor: float = Field(default=1.0, gt=0)  # a fraction shares one
    label_batch_size: int = Field(default=8, ge=0)  # images a labeller sees at once; 0: what fits
    max_failed_share: float = Field(default=0.05, ge=0, le=1)  # more of 100 images stop labelling
    usd_per_gpu_hour: float = Field(default=0.0, ge=0)  # 0: unknown, so no cost is shown
    not_before_s: float = Field(default=0.0, ge=0)  # finished runs that ended before run again
    max_concurrent_trials: int = 0  # 0: as many as the cluster's CPUs or GPUs allow
    gpus_per_trial: float = 1.0  # a fraction shares a GPU between small trials
    ray_address: str = ""  # empty: a Ray of our own, unless RAY_ADDRESS names a cluster
    # What a pretraining may go on without: pairs that a draw asked for, classes of the vocabulary.
    allow: Annotated[
        tuple[Literal["fewer_pairs", "absent_classes"], ...], BeforeValidator(_listed)
    ] = ()
    cache_dir: Place = ""  # indices of data sets; empty: the user's cache folder

    @model_validator(mode="after")
    def _actors_fit(self) -> "Runtime":
        if self.min_label_actors > self.num_label_actors:
            raise ValueError(
                f"min_label_actors={self.min_label_actors} must not be more than "
                f"num_label_actors={self.num_label_actors}"
            )
        return self

    @model_validator(mode="after")
    def _feed_has_ray(self) -> "Runtime":
        if self.feed == "ray_data" and self.launcher == "process":
            raise ValueError(
                "feed=ray_data needs Ray, which launcher=process does without: set feed=loader or "
                "launcher=ray"
            )
        return self

    def data_path(self) -> str | Path:
        """Return the folder of the data set, or a bucket's URI."""
        return absolute(self.data_root)

    def cache_path(self) -> Path:
        """Return the folder of indices."""
        return Path(self.cache_dir) if self.cache_dir else Path.home() / ".cache" / "olivine"

    def out_path(self, *parts: str) -> Path:
        """Return a local path below `out`."""
        return Path(self.out, *parts)

    def store_uri(self) -> str:
        """Return the URI of the run store; raise UserError where it must be named."""
        if is_bucket(self.out) and not self.tracking_uri:
            raise UserError(
                f"runtime.out={self.out} is a bucket, where no run store can lie: name one by "
                "--set runtime.tracking_uri=sqlite:////PATH/mlflow.db, or an MLflow server."
            )
        return self.tracking_uri or f"sqlite:///{self.out_path('mlflow.db')}"


class PretrainConfig(Spec):
    """One pretraining. `num_epochs` 0 is a network as it is initialised.

    `batch_frames` counts frames over all workers; `contrast_frames` of them compete with each
    other (the published codes: the frames of one GPU, 4). With `accumulated_parts` a worker takes
    its share of a batch in so many parts, each of whole groups, and moves the weights once: the
    loss and its gradient are those of the whole batch, but for batch norms, which see one part at
    a time, and a vMF bank that goes on learning beside its loss, which lags by a step.
    `precision` is that of the networks' products, but for a teacher with weights, which has its
    own; weights, losses and the vMF bank are always float32. `labels` names who made the weak
    labels, `segments` who made the superpixels, `clusters` how superpoints over time are found.
    """

    data: Dataset
    method: Method
    backbone: Backbone
    teacher: Teacher | None = None
    labels: Labeller | None = None
    segments: Labeller | None = None
    clusters: Clustering | None = None
    voxels: Voxelizer = Voxelizer()
    augmentations: dict[str, Augmentation | None] = Field(default_factory=dict)
    empty_camera: Literal["error", "drop"] = "error"
    num_channels: int = Field(default=64, ge=2)  # where points and pixels are compared
    hidden_channels: tuple[int, ...] = ()  # layers of a head before that; none: linear
    optimiser: Optimiser = Sgd()
    num_epochs: int = Field(default=50, ge=0)
    batch_frames: int = Field(default=16, ge=1)
    precision: Precision = "float32"
    contrast_frames: int = Field(default=4, ge=1)
    accumulated_parts: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _accumulates(self) -> "PretrainConfig":
        if self.accumulated_parts == 1:
            return self
        whole = [name for name, term in self.method.active().items() if term.loss.uses_whole_batch]
        if whole:
            raise ValueError(
                f"accumulated_parts={self.accumulated_parts} shows a loss a part of the batch at a "
                f"time, and these terms gather the keys of all of it: {', '.join(whole)}"
            )
        if self.batch_frames % (self.accumulated_parts * self.contrast_frames):
            raise ValueError(
                f"batch_frames={self.batch_frames} in accumulated_parts={self.accumulated_parts} "
                f"does not hold whole groups of contrast_frames={self.contrast_frames}"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> "PretrainConfig":
        if self.num_epochs == 0:
            return self
        if not self.method.active():
            raise ValueError("a method whose terms all have weight 0 has nothing to train")
        if self.batch_frames % self.contrast_frames:
            raise ValueError(
                f"batch_frames={self.batch_frames} must be a multiple of "
                f"contrast_frames={self.contrast_frames}"
            )
        if self.method.uses_classes and self.labels is None:
            raise ValueError("a term of the method needs weak labels: set labels.kind")
        if self.teacher is None and self.method.uses_pixels:
            raise ValueError("a term of the method compares with pixels: set teacher.kind")
        if self.method.uses_segments and self.segments is None:
            raise ValueError("a term of the method pools by superpixels: set segments.kind")
        if self.method.uses_clusters and self.clusters is None:
            raise ValueError("a term of the method compares superpoints: set clusters.kind")
        return self


class EvaluateConfig(Spec):
    """One experiment: a pretraining, and how good the network is with few labels.

    `linear_probe` trains one linear layer on frozen features; `finetune` trains everything, the
    new layer at `head_lr`. `absent` says how a class counts that neither the labels nor the
    predictions contain: "skip" leaves it out of the mean (nuscenes-devkit), "one" gives it an
    IoU of 1 (the published codes).
    """

    pretrained: PretrainConfig
    protocol: Literal["linear_probe", "finetune"] = "linear_probe"
    train: Dataset
    val: Dataset
    augmentations: dict[str, Augmentation | None] = Field(default_factory=dict)
    optimiser: Optimiser = Sgd(lr=0.05)
    head_lr: float | None = Field(default=None, gt=0)  # None: the optimiser's
    num_epochs: int = Field(default=50, ge=1)
    batch_frames: int = Field(default=16, ge=1)
    lovasz_weight: float = Field(default=1.0, ge=0)
    absent: Literal["skip", "one"] = "skip"
    precision: Precision = "float32"
    seed: int = Field(default=0, ge=0)


def label_config(config: PretrainConfig) -> "LabelConfig":
    """Return what must be labelled before this pretraining: weak labels, else segments."""
    return label_configs(config)[0]


def label_configs(config: PretrainConfig) -> "tuple[LabelConfig, ...]":
    """Return what must be labelled before this pretraining: weak labels, segments or both."""
    labellers = [labeller for labeller in (config.labels, config.segments) if labeller is not None]
    if not labellers:
        raise UserError(
            "This recipe's method uses neither weak labels nor segments; to make some, name a "
            "labeller by --set pretrained.labels.kind=KIND or --set pretrained.segments.kind=KIND."
        )
    return tuple(LabelConfig(dataset=config.data, labeller=labeller) for labeller in labellers)


class LabelConfig(Spec):
    """One labelling: which images, by whom."""

    dataset: Dataset
    labeller: Labeller
