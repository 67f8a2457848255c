"""The pretraining stage on Ray Train: data-parallel workers, restarted where they stopped."""

import sys
from functools import partial

from olivine import pretrain as stage
from olivine.config import PretrainConfig, Runtime
from olivine.progress import Report
from olivine.tracking import Tracker
from olivine.worker import Worker
from ray_jobs.ray_worker import train_on_ray


def pretrain_on_ray(
    config: PretrainConfig, runtime: Runtime, tracker: Tracker
) -> stage.PretrainResult:
    """Pretrain on the connected Ray cluster, or return what an earlier run left."""
    done = stage.finished(config, runtime, tracker)
    if done is None:
        train_on_ray(partial(_pretrain, config, runtime), "pretrain", runtime, tracker)
        done = stage.finished(config, runtime, tracker)
    assert done is not None, "a pretraining that ended has left its weights"
    return done


def _pretrain(
    config: PretrainConfig, runtime: Runtime, worker: Worker, tracker: Tracker, report: Report
) -> None:
    stage.pretrain(config, runtime, worker, tracker, report)


if __name__ == "__main__":
    from olivine.cli import main

    sys.exit(main(["pretrain", *sys.argv[1:]]))
