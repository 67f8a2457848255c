"""The pretraining stage on Ray Train: data-parallel workers that resume after a restart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ray.train import UserCallback

from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import UserCode
from olivine.data.dataset import Frames
from olivine.data.identity.split import SplitIdentity, identity_of
from olivine.runners.on_ray.train import train_on_ray
from olivine.tracking.tracker import Tracker
from olivine.training import pretrain as stage
from olivine.training.config import PretrainConfig
from olivine.training.finished_runs import ignoring_finished, one_at_a_time
from olivine.training.worker import Worker


def pretrain_on_ray(
    config: PretrainConfig,
    runtime: Runtime,
    tracker: Tracker,
    callbacks: Sequence[UserCallback] = (),
    *,
    frames: Frames | None = None,
    force: bool = False,
) -> stage.PretrainResult:
    """Pretrain on the connected Ray cluster, or return the result of a finished run.

    `callbacks` receive every report. `frames` is the opened data set; without it, it is opened
    here. `force` runs it again if it is finished, from the start.
    """
    if force:
        runtime = ignoring_finished(runtime)
    frames = frames or stage.open_frames(config, runtime)
    with one_at_a_time(stage.pretraining_key(config, frames), runtime):
        return _pretrain_or_find(config, frames, runtime, tracker, callbacks)


def _pretrain_or_find(
    config: PretrainConfig,
    frames: Frames,
    runtime: Runtime,
    tracker: Tracker,
    callbacks: Sequence[UserCallback],
) -> stage.PretrainResult:
    done = stage.finished(config, frames, runtime, tracker)
    if done is None:
        stage.begin_anew(config, frames, runtime, tracker)
        work = partial(_pretrain, _Work(config, runtime, identity_of(frames)))
        code = UserCode.of(config)
        train_on_ray(work, "pretrain", runtime, tracker, callbacks, code=code)
        ended = stage.finished(config, frames, runtime, tracker)
        assert ended is not None, "a pretraining that ended has left its weights"
        done = replace(ended, reused=None)
    return done


@dataclass(frozen=True)
class _Work:
    """What a worker is sent."""

    config: PretrainConfig
    runtime: Runtime
    identity: SplitIdentity  # as the driver read it; a worker lists no files


def _pretrain(work: _Work, worker: Worker, tracker: Tracker, report: Report) -> None:
    frames = stage.open_frames(work.config, work.runtime)
    identity_of(frames).become(work.identity)
    stage.pretrain(work.config, work.runtime, worker, tracker, report, frames=frames)
