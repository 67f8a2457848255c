"""The settings of a pretraining and of an experiment.

`EvaluateConfig` contains its `PretrainConfig`, which contains its labeller: one value is a whole
experiment. `Runtime` holds paths, workers and hardware, and changes no result.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pydantic import Field, field_validator, model_validator

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

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


_BACKBONE = frozenset({"pretrained", "pretrained.backbone", "pretrained.backbone.kind"})


class PretrainConfig(Spec):
    """One pretraining.

    `contrast_frames` frames of a batch compete with each other (the published codes: the frames
    of one GPU, 4). With `accumulated_parts` a worker computes its share of a batch in parts,
    each of whole contrast groups, and updates the weights once: the loss and its gradient are
    those of the whole batch, except for batch norms, which see one part at a time, and for a
    vMF bank that goes on learning beside its loss: it moves with the last part, so the parts
    before it read the bank of the step before. Weights, losses and the bank are always float32.
    """

    data: Dataset = Field(description="Data set of the pretraining.")
    method: Method = Field(description="Method: the terms of the loss.")
    backbone: Backbone = Field(description="The 3D network that is pretrained.")
    teacher: Teacher | None = Field(
        default=None, description="Frozen image network; null where no term needs one."
    )
    labels: Labeller | None = Field(
        default=None, description="Labeller of the weak labels; null where no term needs them."
    )
    segments: Labeller | None = Field(
        default=None, description="Labeller of the superpixels; null where no term needs them."
    )
    clusters: Clustering | None = Field(
        default=None,
        description="Clustering that finds superpoints over time; null where no term needs it.",
    )
    voxels: Voxelizer = Field(default=Voxelizer(), description="How points become voxels.")
    augmentations: dict[str, Augmentation | None] = Field(
        default_factory=dict,
        description="Augmentations of a sample in their order, by name; null removes one.",
    )
    empty_camera: Literal["error", "drop"] = Field(
        default="error",
        description="What to do with a camera that sees no point: an error, or an image without "
        "pairs.",
    )
    num_channels: int = Field(
        default=64, ge=2, description="Channels in which points and pixels are compared."
    )
    hidden_channels: tuple[int, ...] = Field(
        default=(),
        description="Channels of a projection head's hidden layers; none makes it linear.",
    )
    optimiser: Optimiser = Field(default=Sgd(), description="Optimiser with its learning rates.")
    num_epochs: int = Field(
        default=50, ge=0, description="Number of passes over the data; 0 keeps the initial weights."
    )
    batch_frames: int = Field(
        default=16, ge=1, description="Number of frames per step over all workers."
    )
    precision: Precision = Field(
        default="float32",
        description="Number format of the networks' products, except in a teacher with weights, "
        "which has its own.",
    )
    contrast_frames: int = Field(
        default=4,
        ge=1,
        description="Number of frames that compete with each other; batch_frames is a multiple of "
        "it.",
    )
    accumulated_parts: int = Field(
        default=1,
        ge=1,
        description="Number of parts in which a worker computes its share of a batch, to save "
        "memory.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Seed of the initial weights, the order of the data and all sampling.",
    )

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
    """One experiment: a pretraining, and how good its network is with few labels.

    `linear_probe` trains one linear layer on frozen features; `finetune` trains everything, the
    new layer at `head_lr`. The network is `pretrained.backbone` with the changes of `backbone`;
    another kind of backbone starts without changes, since it has other settings.
    """

    pretrained: PretrainConfig = Field(description="The pretraining whose network is evaluated.")
    protocol: Literal["linear_probe", "finetune"] = Field(
        default="linear_probe",
        description="What is trained: one linear layer on frozen features, or the whole network.",
    )
    train: Dataset = Field(description="Data set with the labels to train on.")
    val: Dataset = Field(description="Data set with the labels to score on.")
    augmentations: dict[str, Augmentation | None] = Field(
        default_factory=dict,
        description="Augmentations of a training scan in their order, by name; null removes one.",
    )
    optimiser: Optimiser = Field(
        default=Sgd(lr=0.05), description="Optimiser with its learning rates."
    )
    backbone: dict[str, Any] = Field(
        default_factory=dict,
        validate_default=True,
        description="Settings of the network that the evaluation changes, by name, such as "
        "bn_momentum; null keeps the value of pretrained.backbone.",
    )
    head_lr: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the new layer; null means the optimiser's.",
    )
    num_epochs: int = Field(
        default=50, ge=1, description="Number of passes over the training scans."
    )
    batch_frames: int = Field(
        default=16, ge=1, description="Number of scans per step over all workers."
    )
    lovasz_weight: float = Field(
        default=1.0,
        ge=0,
        description="Weight of the Lovász loss beside the cross-entropy; 0 leaves it out.",
    )
    absent: Literal["skip", "one"] = Field(
        default="skip",
        description="A class in neither labels nor predictions is left out of the mean (skip, as "
        "nuscenes-devkit) or has IoU 1 (one, as the published codes).",
    )
    precision: Precision = Field(
        default="float32", description="Number format of the network's products."
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of the new layer's weights and of the order of the data."
    )

    @field_validator("backbone")
    @classmethod
    def _may_change(cls, given: dict[str, Any], info: Any) -> dict[str, Any]:
        # Without a valid pretraining, its own error is reported.
        pretrained = info.data.get("pretrained")
        return pretrained.backbone.evaluation_changes(given) if pretrained else given

    @property
    def evaluated_backbone(self) -> Backbone:
        """The network that the evaluation trains: that of the pretraining, with its changes."""
        return self.pretrained.backbone.for_evaluation(self.backbone)

    def fingerprint_fields(self) -> dict[str, Any]:
        """Return the fields of `Spec`, and of `backbone` only what can change a result."""
        fields = super().fingerprint_fields()
        written, frozen = fields.pop("backbone"), self.protocol == "linear_probe"
        changed = self.pretrained.backbone.changed_results(self.backbone, frozen=frozen)
        return fields | ({"backbone": {name: written[name] for name in changed}} if changed else {})

    def added_settings(self) -> dict[str, Any]:
        """Return those of `Spec`, and that an evaluation changed nothing of the network."""
        return super().added_settings() | {f"backbone.{name}": None for name in self.backbone}

    def override(self, settings: Mapping[str, Any]) -> "Self":
        """Return a copy with dotted names set, as `Spec.override` does; see the class."""
        if _BACKBONE.isdisjoint(settings):
            return super().override(settings)
        own = {name: settings[name] for name in settings if name.partition(".")[0] == "backbone"}
        rest = {name: value for name, value in settings.items() if name not in own}
        return Spec.override(self._kept_in(Spec.override(self.replace(backbone={}), rest)), own)

    def replace(self, **changes: Any) -> "Self":
        """Return a copy with some settings changed, as `Spec.replace` does; see the class."""
        if "pretrained" not in changes or "backbone" in changes:
            return super().replace(**changes)
        return self._kept_in(super().replace(**changes, backbone={}))

    def _kept_in(self, copy: "Self") -> "Self":
        same = copy.pretrained.backbone.kind == self.pretrained.backbone.kind
        return copy.replace(backbone=self.backbone) if same else copy

    def with_pretraining(self, **changes: "Unpack[PretrainChanges]") -> "EvaluateConfig":
        """Return the experiment with settings of its pretraining changed, by their own names.

        Raises UserError for settings that do not fit together.
        """
        return self.replace(pretrained=self.pretrained.replace(**changes))

    def with_evaluation(self, **changes: "Unpack[EvaluateChanges]") -> "EvaluateConfig":
        """Return the experiment with settings of its evaluation changed; see `with_pretraining`."""
        return self.replace(**changes)


class PretrainChanges(TypedDict, total=False):
    """Settings of a `PretrainConfig` that a copy may change, for type checkers."""

    data: Dataset
    method: Method
    backbone: Backbone
    teacher: Teacher | None
    labels: Labeller | None
    segments: Labeller | None
    clusters: Clustering | None
    voxels: Voxelizer
    augmentations: dict[str, Augmentation | None]
    empty_camera: Literal["error", "drop"]
    num_channels: int
    hidden_channels: tuple[int, ...]
    optimiser: Optimiser
    num_epochs: int
    batch_frames: int
    precision: Precision
    contrast_frames: int
    accumulated_parts: int
    seed: int


class EvaluateChanges(TypedDict, total=False):
    """Settings of an `EvaluateConfig` that a copy may change, for type checkers."""

    pretrained: PretrainConfig
    protocol: Literal["linear_probe", "finetune"]
    train: Dataset
    val: Dataset
    augmentations: dict[str, Augmentation | None]
    optimiser: Optimiser
    backbone: dict[str, Any]
    head_lr: float | None
    num_epochs: int
    batch_frames: int
    lovasz_weight: float
    absent: Literal["skip", "one"]
    precision: Precision
    seed: int


def label_config(config: PretrainConfig) -> "LabelConfig":
    """Return the first labelling job that this pretraining needs: weak labels, else segments."""
    return label_configs(config)[0]


def label_configs(config: PretrainConfig) -> "tuple[LabelConfig, ...]":
    """Return the labelling jobs that this pretraining needs: weak labels, segments or both.

    Raises UserError if it needs none.
    """
    labellers = [labeller for labeller in (config.labels, config.segments) if labeller is not None]
    if not labellers:
        raise UserError(
            "This recipe's method uses neither weak labels nor segments; to make some, name a "
            "labeller by --set pretrained.labels.kind=KIND or --set pretrained.segments.kind=KIND."
        )
    return tuple(LabelConfig(dataset=config.data, labeller=labeller) for labeller in labellers)
