"""Settings of where and how a run is executed; no result depends on them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.core.storage import PathOrUri, absolute


def _listed(value: Any) -> Any:
    """Accept "a,b" for ["a", "b"], because some shells want brackets quoted."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _auto_or_number(value: Any) -> Any:
    """Check a number by one rule, because pydantic would tell a union's mistake once per member."""
    whole = isinstance(value, float) and value.is_integer()
    number = int(value) if whole or (isinstance(value, str) and value.isdigit()) else value
    if number == "auto" or (isinstance(number, int) and type(number) is not bool and number >= 0):
        return number
    raise ValueError("is auto or a whole number greater than or equal to 0")


class Runtime(Spec):
    """All settings of a run that are not in its fingerprint."""

    data_root: PathOrUri = Field(
        default="data/nuscenes",
        description="Folder or bucket of the data set; for nuScenes it holds samples/ and v1.0-*/.",
    )
    out: PathOrUri = Field(
        default="runs",
        description="Folder or bucket for labels, checkpoints, tables and the run store.",
    )
    tracking_uri: str = Field(
        default="", description="URI of an MLflow server or database; empty means SQLite in out."
    )
    launcher: Literal["ray", "process"] = Field(
        default="ray", description="Who starts a stage: Ray, or this process alone without Ray."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device that computes; auto means a GPU if there is one."
    )
    num_workers: int = Field(
        default=1, ge=1, description="Number of processes that train one network together."
    )
    max_failures: int = Field(
        default=3,
        ge=0,
        description="Number of lost workers that a training survives before it ends as failed.",
    )
    num_loader_workers: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_number)] = Field(
        default="auto",
        description="Number of data loader processes per worker; 0 loads in the worker itself, "
        "auto means a share of the CPUs.",
    )
    feed: Literal["loader", "ray_data"] = Field(
        default="loader",
        description="Where samples are made: by loaders beside each worker, or by Ray Data on the "
        "cluster.",
    )
    save_every_steps: int = Field(
        default=0,
        ge=0,
        description="Steps between checkpoints within an epoch; 0 saves at the ends of epochs "
        "alone.",
    )
    recompute_activations: bool = Field(
        default=False,
        description="Whether the backward pass recomputes the backbone's activations: less "
        "memory, more time.",
    )
    loader_cache_mb: int = Field(
        default=1024,
        ge=0,
        description="Memory for samples as read (MB) per loading process; 0 keeps none.",
    )
    keep_teacher_maps: bool = Field(
        default=False,
        description="Whether the teacher's feature maps are kept in out for later epochs and "
        "seeds, where images are always the same. The 28,130 frames of nuScenes take "
        "354 GB by ScaLR's ViT-L in float32; the size is printed at the start.",
    )
    probe_every_epochs: int = Field(
        default=0,
        ge=0,
        description="Epochs between scores of the features during a pretraining; 0 means never.",
    )
    probe_frames: int = Field(
        default=40,
        ge=2,
        description="Number of labelled training frames that the probe of a pretraining reads.",
    )
    num_label_actors: int = Field(
        default=1,
        ge=1,
        description="Largest number of labelling processes; they start as images arrive.",
    )
    min_label_actors: int = Field(
        default=1, ge=1, description="Number of labelling processes held from the start to the end."
    )
    gpus_per_label_actor: float = Field(
        default=1.0, gt=0, description="GPUs per labelling process; a fraction shares one."
    )
    label_batch_size: int = Field(
        default=8,
        ge=0,
        description="Images that a labeller sees at once; 0 means as many as memory allows.",
    )
    max_failed_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of failed images, of at least 100 tried, above which labelling stops.",
    )
    usd_per_gpu_hour: float = Field(
        default=0.0,
        ge=0,
        description="Price of a GPU (USD per hour); 0 means unknown, so no cost is shown.",
    )
    not_before_s: float = Field(
        default=0.0,
        ge=0,
        description="Unix time (s) before which a finished run is not reused; 0 reuses all.",
    )
    max_concurrent_trials: int = Field(
        default=0,
        ge=0,
        description="Largest number of trials at once; 0 means as many as the cluster has CPUs or "
        "GPUs for.",
    )
    gpus_per_trial: float = Field(
        default=1.0,
        gt=0,
        description="GPUs per trial; a fraction shares one between small trials.",
    )
    ray_address: str = Field(
        default="",
        description="Address of a Ray cluster; empty starts a local Ray unless RAY_ADDRESS names "
        "one.",
    )
    allow: Annotated[
        tuple[Literal["fewer_pairs", "absent_classes", "overlap"], ...], BeforeValidator(_listed)
    ] = Field(
        default=(),
        description="What is accepted instead of an error: fewer_pairs than a sampler asked for, "
        "absent_classes of the vocabulary, an overlap of scenes that train with those that are "
        "scored, which marks the score.",
    )
    cache_dir: PathOrUri = Field(
        default="",
        description="Folder for indices of data sets; empty means the user's cache folder.",
    )

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
        """Return the folder of the data set as an absolute path, or a bucket's URI."""
        return absolute(self.data_root)

    def cache_path(self) -> Path:
        """Return the folder for indices of data sets."""
        return Path(self.cache_dir) if self.cache_dir else Path.home() / ".cache" / "olivine"

    def out_path(self, *parts: str) -> Path:
        """Return the local path of `parts` below `out`."""
        return Path(self.out, *parts)

    def store_uri(self) -> str:
        """Return the URI of the run store; raise UserError if a bucket needs one."""
        if is_bucket(self.out) and not self.tracking_uri:
            raise UserError(
                f"runtime.out={self.out} is a bucket, where no run store can lie: name one by "
                "--set runtime.tracking_uri=sqlite:////PATH/mlflow.db, or an MLflow server."
            )
        return self.tracking_uri or f"sqlite:///{self.out_path('mlflow.db')}"
