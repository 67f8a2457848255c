"""What a run is, and where it happens.

`EvaluateConfig` contains its `PretrainConfig`, which names its labeller: one value is a whole
experiment. `Runtime` holds paths, workers and hardware, and changes no result.
"""

from typing import Literal

from pydantic import Field, model_validator

from olivine.core.devices import Precision
from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.data.augmentations.base import Augmentation
from olivine.data.clusterings.base import Clustering
from olivine.data.dataset import Dataset
from olivine.data.geometry.voxels import Voxelizer
from olivine.labels.config import LabelConfig
from olivine.labels.labeller import Labeller
from olivine.methods.method import Method
from olivine.models.backbones.base import Backbone
from olivine.models.teachers.base import Teacher
from olivine.training.optimisers.base import Optimiser
from olivine.training.optimisers.sgd import Sgd


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
