"""The evaluation stage on Ray Train, after the pretraining that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ray.train import UserCallback
from ray.tune.integration.ray_train import TuneReportCallback

from olivine.core.devices import choose_device
from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import UserCode
from olivine.runners.on_ray.batch_source import batch_source_of, require_cpus
from olivine.runners.on_ray.pretrain import pretrain_on_ray
from olivine.runners.on_ray.train import train_on_ray
from olivine.runners.on_ray.trial import TuneWorker
from olivine.tracking.tracker import Tracker
from olivine.training import evaluate as stage
from olivine.training.config import EvaluateConfig
from olivine.training.experiment_data import (
    NOT_READ,
    ExperimentData,
    Identities,
    OpenedData,
    require_apart,
)
from olivine.training.finished_runs import ignoring_finished
from olivine.training.worker import Worker


def evaluate_on_ray(
    config: EvaluateConfig,
    runtime: Runtime,
    tracker: Tracker,
    callbacks: Sequence[UserCallback] = (),
    *,
    data: ExperimentData | None = None,
    force: bool = False,
) -> stage.EvaluateResult:
    """Evaluate on the connected Ray cluster, or return the result of a finished run.

    `callbacks` receive every report. `data` are the experiment's data sets; without it they are
    opened here. `force` runs it and its pretraining again, from the start.
    """
    if force:
        runtime = ignoring_finished(runtime)
    data = data or ExperimentData.open(config, runtime)
    require_apart(config, data, runtime)
    data.require_labels()  # before a pretraining of hours
    pretrained = pretrain_on_ray(
        config.pretrained, runtime, tracker, callbacks, frames=data.pretrain
    )
    done = stage.finished(config, data, runtime, tracker)
    if done is None:
        stage.begin_anew(config, data, runtime, tracker)
        work = partial(_evaluate, _Work(config, runtime, data.identities(config)))
        code = UserCode.of(config)
        train_on_ray(work, "evaluate", runtime, tracker, callbacks, code=code)
        ended = stage.finished(config, data, runtime, tracker)
        assert ended is not None, "an evaluation that ended has left its scores"
        done = replace(ended, reused=())
    return stage.with_pretraining(done, pretrained)


def trial(
    config: EvaluateConfig, runtime: Runtime, tracker: Tracker, identities: Identities = NOT_READ
) -> Mapping[str, float]:
    """Run an experiment as a trial of a sweep; return its scores and its device-hours.

    `identities` are those with which the sweep began; only other data sets are read for theirs. It
    runs in this process, or on several workers if `runtime.num_workers` is above 1; either way
    the sweep's scheduler receives a report of every epoch.
    """
    data = ExperimentData.open(config, runtime, OpenedData(runtime, identities))
    if runtime.num_workers > 1:
        result = evaluate_on_ray(config, runtime, tracker, [TuneReportCallback()], data=data)
    else:
        require_cpus(runtime, 0)  # its own CPU is reserved
        batches = batch_source_of(runtime, UserCode.of(config))
        worker = TuneWorker(choose_device(runtime.device), batches)
        result = stage.experiment(config, runtime, worker, tracker, data=data)
    return {**result.scores, "hours": stage.device_hours(config, data, tracker)}


@dataclass(frozen=True)
class _Work:
    """What a worker is sent."""

    config: EvaluateConfig
    runtime: Runtime
    identities: Identities  # as the driver read them; a worker lists no files


def _evaluate(work: _Work, worker: Worker, tracker: Tracker, report: Report) -> None:
    opened = OpenedData(work.runtime, work.identities)
    data = ExperimentData.open(work.config, work.runtime, opened)
    stage.evaluate(work.config, work.runtime, worker, tracker, data=data, report=report)
