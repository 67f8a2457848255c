"""The number of processes that load a stage's data."""

import logging

from olivine.core.loader_share import loader_share
from olivine.core.runtime import Runtime
from olivine.training.worker import Worker

TAG = "loader_processes"  # of a run
log = logging.getLogger("olivine")


def num_loader_processes(runtime: Runtime, worker: Worker, *, logged: bool = False) -> int:
    """Return how many processes load data beside a worker; no batch depends on it.

    It is `runtime.num_loader_workers` or, if that is auto, the worker's share of its machine.
    Ray Data takes CPUs of the whole cluster, and has one actor per worker unless more are set.
    """
    if runtime.num_loader_workers != "auto":
        return runtime.num_loader_workers
    if runtime.feed == "ray_data":
        return 1
    share = loader_share(
        worker.machine(),
        on_gpu=worker.device.type == "cuda",
        cache_mb=runtime.loader_cache_mb,
    )
    if logged and worker.rank == 0:
        log.info(
            "runtime.num_loader_workers=auto: %d loader processes per worker, %s.",
            share.number,
            share.reason,
        )
    return share.number
