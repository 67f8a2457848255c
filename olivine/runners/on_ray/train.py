"""A worker of Ray Train, and the launch of a stage on several of them."""

import contextlib
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray.train
import ray.train.torch
import torch
from torch import nn

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.loader_share import Machine
from olivine.core.progress import Progress, Report
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import NO_USER_CODE, UserCode
from olivine.core.storage import Store
from olivine.core.user_parts import errors_of_user_code
from olivine.data.loader import BatchSource
from olivine.models.synchronised_norms import synchronise_batch_norms
from olivine.runners.on_ray.assigned import assigned_machine
from olivine.runners.on_ray.batch_source import batch_source_of, require_cpus
from olivine.runners.on_ray.pickled import PickledWithCode
from olivine.tracking.tracker import NullTracker, Tracker
from olivine.training.worker import Worker

NOTE_PERIOD_S = 2.0
# Ray Train polls for reports and for the end every 2 s, and a report waits for the poll, so at the
# end of every short epoch.
LOOK_EVERY, LOOK_EVERY_S = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", 0.5


class RayWorker:
    """A process of a Ray Train run."""

    def __init__(self, batch_source: BatchSource) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self.batch_source = batch_source

    def machine(self) -> Machine:
        """Return the part of the machine that Ray has assigned to this worker."""
        return assigned_machine()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module on the device, with gradients averaged over the workers.

        Batch norms have the statistics of all workers' rows. Buffers are not broadcast, since every
        worker computes the same ones. Raises UserError for a batch norm whose statistics would be
        a worker's own.
        """
        if self.world_size == 1:
            return module.to(self.device)
        synchronise_batch_norms(module)
        return ray.train.torch.prepare_model(
            module, parallel_strategy_kwargs={"broadcast_buffers": False}
        )

    def report(self, metrics: Mapping[str, float]) -> None:
        """Report a run's progress to Ray Train; every worker calls it equally often."""
        ray.train.report(dict(metrics))


Stage = Callable[[Worker, Tracker, Report], None]


def train_on_ray(
    stage: Stage,
    label: str,
    runtime: Runtime,
    tracker: Tracker,
    callbacks: Sequence[ray.train.UserCallback] = (),
    *,
    code: UserCode = NO_USER_CODE,
) -> None:
    """Run a stage on `runtime.num_workers` workers and wait for its end.

    The first worker gets the tracker, the others a null tracker. Ray's own record of the run is
    deleted: the state is in the stage's checkpoints, from which a restart by Ray or by a user goes
    on. `code` is the user code that the stage needs.
    """
    use_gpu = runtime.device == "cuda" or (
        runtime.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1
    )
    require_cpus(runtime, 0 if use_gpu else runtime.num_workers)
    os.environ.setdefault(LOOK_EVERY, str(LOOK_EVERY_S))
    # A name that was used before would silently resume Ray's record of it.
    name = f"olivine-{uuid.uuid4().hex[:8]}"
    notes = Store(f"{runtime.out}/ray")
    mistake, progress = f"{name}.mistake", f"{name}.progress"
    pickled = PickledWithCode.pack(stage, code)

    def loop(_: Mapping[str, Any]) -> None:
        # Every restart would repeat a user's mistake, so restarted workers return if one is
        # recorded. Raising it ends the other workers, which may wait in an all-reduce.
        if notes.exists(mistake):
            return
        worker = RayWorker(batch_source_of(runtime, code))
        first = worker.rank == 0
        report = _ProgressFile(notes, progress) if first else lambda done, total: None
        try:
            with errors_of_user_code():
                pickled.open()(worker, tracker if first else NullTracker(), report)
        except UserError as error:
            notes.write(mistake, str(error).encode())
            raise

    with tempfile.TemporaryDirectory() as local:
        trainer = ray.train.torch.TorchTrainer(
            loop,
            train_loop_config={},
            scaling_config=ray.train.ScalingConfig(
                num_workers=runtime.num_workers, use_gpu=use_gpu
            ),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=_storage(runtime, local),
                failure_config=ray.train.FailureConfig(max_failures=runtime.max_failures),
                callbacks=list(callbacks),
            ),
        )
        failure = None
        with _shown_progress(notes, progress, Progress(label, "steps")):
            try:
                trainer.fit()
            except ray.train.TrainingFailedError as error:
                failure = error
    notes.delete(progress)
    if notes.exists(mistake):
        text = notes.read(mistake).decode()
        notes.delete(mistake)
        raise UserError(text)
    if failure is not None:
        raise failure


class _ProgressFile:
    """Writes a run's progress where the driver reads it; workers' output is in log files."""

    def __init__(self, store: Store, name: str):
        self._store, self._name, self._last_s = store, name, 0.0

    def __call__(self, done: int, total: int) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s > NOTE_PERIOD_S:
            self._last_s = now_s
            self._store.write(self._name, f"{done} {total}".encode())


@contextlib.contextmanager
def _shown_progress(store: Store, name: str, progress: Progress) -> Iterator[None]:
    """Show a run's progress while the block runs."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(NOTE_PERIOD_S):
            with contextlib.suppress(UserError, ValueError):
                if store.exists(name):
                    done, total = store.read(name).split()
                    progress(int(done), int(total))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _storage(runtime: Runtime, local: str) -> str:
    """Return the folder of Ray's own record; with several machines, one that all can reach."""
    return f"{runtime.out.rstrip('/')}/ray" if is_bucket(runtime.out) else local
