"""The resources of a trial, and the number of trials that run at once."""

import os
from dataclasses import dataclass

import ray

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.runners.on_ray.batch_source import decoding_cpus, require_cpus

HEAD, HEAD_SHARE = "node:__internal_head__", 0.001  # a resource that every cluster's head has


@dataclass(frozen=True)
class Placement:
    """What Tune reserves for one trial, and the devices that the trial takes."""

    per_trial: dict[str, float]  # Ray's resources
    max_concurrent: int  # 0: the cluster's resources decide
    devices_per_trial: float  # GPUs, or processes where there is none
    grows: bool  # the cluster may have no worker yet


def trial_placement(runtime: Runtime) -> Placement:
    """Return the placement of trials on the connected Ray; raise UserError if none could ever run.

    A trial of several workers starts Ray Train, which reserves for them; as many trials run at once
    as their workers fit. The process that waits for them takes no CPU, because otherwise the
    workers of a trial that has all CPUs would wait for ever. It runs on the head, which is not a
    spot machine.
    """
    cluster = ray.cluster_resources()
    grows = bool(runtime.ray_address or os.environ.get("RAY_ADDRESS"))
    gpus, workers = cluster.get("GPU", 0.0), runtime.num_workers
    use_gpu = runtime.device == "cuda" or (runtime.device == "auto" and gpus > 0)
    per_worker = 1.0 if workers > 1 else runtime.gpus_per_trial
    needs = {"CPU": float(workers), **({"GPU": per_worker * workers} if use_gpu else {})}
    if use_gpu and gpus < needs["GPU"] and not grows:
        raise UserError(
            f"A trial needs {needs['GPU']:g} GPUs and this machine has {gpus:g}; "
            "lower gpus_per_trial or num_workers, or set device=cpu."
        )
    require_cpus(runtime, workers)
    held = {
        **needs,
        "CPU": needs["CPU"] + decoding_cpus(runtime),
    }  # with its batch source
    fitting = [int(cluster.get(name, 0.0) / need) for name, need in held.items() if need]
    concurrent = runtime.max_concurrent_trials or (0 if grows else max(1, min(fitting)))
    per_trial = {"CPU": 0.0, HEAD: HEAD_SHARE} if workers > 1 else needs
    devices = needs["GPU"] if use_gpu else float(workers)
    return Placement(per_trial, concurrent, devices, grows)


def require_state_api() -> None:
    """Raise UserError unless Ray's State API answers.

    Without it, the resources of a stopped Ray Train are never freed, and the next trial waits for
    ever.
    """
    from ray.util.state import list_nodes

    try:
        # By address, since a machine may run several Rays.
        list_nodes(address=ray.get_runtime_context().gcs_address, limit=1, timeout=10)
    except Exception as error:  # from any layer between this process and the dashboard
        raise UserError(
            "Ray's State API does not answer, which trials of several workers need "
            f"({' '.join(str(error).split())[:200]}): start Ray with its dashboard, or use "
            "--set runtime.num_workers=1."
        ) from None
