"""Where and how a run happens: paths, workers, hardware. Nothing of it changes a result."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.core.storage import Place, absolute


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
