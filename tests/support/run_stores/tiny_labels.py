"""Weak labels and segments of small data, made once for all tests that train on them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from olivine.core.hashing import text_hash
from olivine.core.runtime import Runtime
from olivine.labels.job import label
from olivine.tracking.tracker import NullTracker
from olivine.training.config import PretrainConfig, label_configs


@dataclass(frozen=True)
class TinyLabels:
    """Label maps by job and data set in a folder that the processes of one call of pytest share."""

    folder: Path

    def write(self, config: PretrainConfig, runtime: Runtime) -> None:
        """Write what a pretraining reads, if it reads any, below `runtime.out`."""
        for job in label_configs(config) if config.labels or config.segments else ():
            kept = self.folder / text_hash(f"{job.to_yaml()} {runtime.data_root}")
            with FileLock(f"{kept}.lock"):
                if not kept.exists():
                    made = kept.with_suffix(".new")
                    result = label(job, runtime.override({"out": str(made)}), NullTracker())
                    assert result.num_failed == 0
                    made.rename(kept)
            shutil.copytree(kept / "labels", Path(runtime.out, "labels"), dirs_exist_ok=True)
