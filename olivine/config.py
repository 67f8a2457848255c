"""Where a run happens: paths, workers and hardware, none of which changes its result."""

from pathlib import Path
from typing import Literal

from olivine.spec import Spec


class Runtime(Spec):
    """Everything about a run that its fingerprint leaves out."""

    data_root: str = "data/nuscenes"  # folder that holds samples/ and v1.0-*/
    out: str = "runs"  # labels, checkpoints, tables and the run store; a path or a bucket's URI
    tracking_uri: str = ""  # MLflow server or database; empty: SQLite in `out`
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_workers: int = 1  # processes that train one network together
    num_loader_workers: int = 0  # processes that load data, per worker
    num_label_actors: int = 1
    max_concurrent_trials: int = 0  # 0: as many as the cluster's CPUs or GPUs allow
    gpus_per_trial: float = 1.0  # a fraction shares a GPU between small trials
    ray_address: str = ""  # empty: a Ray of our own, unless RAY_ADDRESS names a cluster
    cache_dir: str = ""  # indices of data sets; empty: the user's cache folder

    def cache_path(self) -> Path:
        """Return the folder of indices."""
        return Path(self.cache_dir) if self.cache_dir else Path.home() / ".cache" / "olivine"

    def out_path(self, *parts: str) -> Path:
        """Return a local path below `out`."""
        return Path(self.out, *parts).absolute()

    def store_uri(self) -> str:
        """Return the URI of the run store."""
        return self.tracking_uri or f"sqlite:///{self.out_path('mlflow.db')}"
