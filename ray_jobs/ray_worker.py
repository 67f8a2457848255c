"""One of Ray Train's workers, as a stage sees it, and the launch of a stage on several of them."""

import tempfile
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import ray.train
import ray.train.torch
import torch
from torch import nn

from olivine.config import Runtime
from olivine.errors import UserError
from olivine.storage import Store
from olivine.tracking import NullTracker, Tracker
from olivine.worker import Worker


class RayWorker:
    """A process of a Ray Train run."""

    def __init__(self) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Move the module to the device and average its gradients over the workers.

        Batch norms of dense layers are synchronised on GPUs; the sparse ones do it themselves.
        Buffers are not broadcast: every worker computes the same ones.
        """
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        if self.world_size == 1:
            return module.to(self.device)
        return ray.train.torch.prepare_model(
            module, parallel_strategy_kwargs={"broadcast_buffers": False}
        )

    def report(self, metrics: Mapping[str, float]) -> None:
        """Tell Ray Train how far the run is; every worker calls it equally often."""
        ray.train.report(dict(metrics))


def train_on_ray(
    stage: Callable[[Worker, Tracker], None], runtime: Runtime, tracker: Tracker
) -> None:
    """Run a stage on `runtime.num_workers` workers and wait for it.

    The first worker is given the tracker, the others one that forgets. Ray's own record
    of the run is thrown away: state lies in the stage's checkpoints, so a restart goes on from
    there whether Ray restarts it or a person does.
    """
    use_gpu = runtime.device == "cuda" or (
        runtime.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1
    )
    # A name used before would silently resume Ray's record of it.
    name = f"olivine-{uuid.uuid4().hex[:8]}"
    mistakes = Store(f"{runtime.out}/ray")

    def loop(_: Mapping[str, Any]) -> None:
        # A user's mistake would be repeated by every restart: once it is written down, restarted
        # workers return. Raising it ends the others, which may wait in an all-reduce.
        if mistakes.exists(name):
            return
        worker = RayWorker()
        try:
            stage(worker, tracker if worker.rank == 0 else NullTracker())
        except UserError as error:
            mistakes.write(name, str(error).encode())
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
            ),
        )
        failure = None
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            failure = error
    if mistakes.exists(name):
        text = mistakes.read(name).decode()
        mistakes.delete(name)
        raise UserError(text)
    if failure is not None:
        raise failure


def _storage(runtime: Runtime, local: str) -> str:
    """Return where Ray may keep its own record: on several machines, where all can reach it."""
    return f"{runtime.out.rstrip('/')}/ray" if "://" in runtime.out else local
