"""The number of processes that load a stage's data."""

import logging

from olivine.core.loader_share import LoaderShare, loader_share
from olivine.core.runtime import Runtime
from olivine.training.worker import Worker

TAG = "loader_processes"  # of a run
log = logging.getLogger("olivine")


def num_loader_processes(runtime: Runtime, worker: Worker) -> int:
    """Return how many processes load data beside a worker; no batch depends on it.

    It is `runtime.num_loader_workers` or, if that is auto, the worker's share of its machine.
    Ray Data takes CPUs of the whole cluster, and has one actor per worker unless more are set.
    """
    return _share(runtime, worker).number


def loader_tag(runtime: Runtime, worker: Worker) -> dict[str, str]:
    """Return the number as a tag of a stage's run; the first worker logs one that nobody set."""
    share = _share(runtime, worker)
    if share.reason and worker.rank == 0:
        log.info(
            "runtime.num_loader_workers=auto: %d loader processes per worker, %s.",
            share.number,
            share.reason,
        )
    return {TAG: str(share.number)}


def _share(runtime: Runtime, worker: Worker) -> LoaderShare:
    if runtime.num_loader_workers != "auto":
        return LoaderShare(runtime.num_loader_workers, "")
    if runtime.feed == "ray_data":
        return LoaderShare(1, "")
    on_gpu = worker.device.type == "cuda"
    return loader_share(worker.machine(), on_gpu=on_gpu, cache_mb=runtime.loader_cache_mb)
