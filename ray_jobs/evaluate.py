"""The evaluation stage on Ray Train, after the pretraining it needs."""

import sys
from collections.abc import Mapping
from functools import partial

from olivine import evaluate as stage
from olivine.config import EvaluateConfig, Runtime
from olivine.progress import Report
from olivine.tracking import Tracker
from olivine.training import choose_device
from olivine.worker import LocalWorker, Worker
from ray_jobs.pretrain import pretrain_on_ray
from ray_jobs.ray_worker import train_on_ray


def evaluate_on_ray(
    config: EvaluateConfig, runtime: Runtime, tracker: Tracker
) -> stage.EvaluateResult:
    """Evaluate on the connected Ray cluster, or return what an earlier run found."""
    pretrain_on_ray(config.pretrained, runtime, tracker)
    done = stage.finished(config, runtime, tracker)
    if done is None:
        train_on_ray(partial(_evaluate, config, runtime), "evaluate", runtime, tracker)
        done = stage.finished(config, runtime, tracker)
    assert done is not None, "an evaluation that ended has left its scores"
    return done


def trial(config: EvaluateConfig, runtime: Runtime, tracker: Tracker) -> Mapping[str, float]:
    """Return an experiment's scores: in this process, or on several workers if asked for."""
    if runtime.num_workers > 1:
        return evaluate_on_ray(config, runtime, tracker).scores
    worker = LocalWorker(choose_device(runtime.device))
    return stage.experiment(config, runtime, worker, tracker).scores


def _evaluate(
    config: EvaluateConfig, runtime: Runtime, worker: Worker, tracker: Tracker, report: Report
) -> None:
    stage.evaluate(config, runtime, worker, tracker, report=report)


if __name__ == "__main__":
    from olivine.cli import main

    sys.exit(main(["evaluate", *sys.argv[1:]]))
