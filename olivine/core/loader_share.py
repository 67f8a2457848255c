"""How many loader processes a training starts by itself: a share of its machine."""

import multiprocessing
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MOST = 8  # of one worker; more than these wait for the training
GB_SHARED = 0.25  # two batches of a loader, which wait in shared memory
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Machine:
    """What a worker may use of its machine."""

    num_cpus: float
    memory_gb: float  # free
    shared_memory_gb: float  # free
    forks: bool = True  # a process can start others that need nothing imported again

    def share(self, part: float) -> "Machine":
        """Return a part of it (0 to 1), as one of several workers has."""
        return replace(
            self,
            num_cpus=part * self.num_cpus,
            memory_gb=part * self.memory_gb,
            shared_memory_gb=part * self.shared_memory_gb,
        )


@dataclass(frozen=True)
class LoaderShare:
    """A number of loader processes, and why it is this one."""

    number: int
    reason: str


def this_machine() -> Machine:
    """Return what this process may use: its CPUs by affinity and by its container's limit."""
    import joblib  # imports numpy
    import psutil

    # A process that does not fork runs a user's script again, which must then be written for it;
    # a daemon may start none.
    method = multiprocessing.get_start_method(allow_none=True)
    method = method or multiprocessing.get_all_start_methods()[0]
    return Machine(
        float(joblib.cpu_count()),
        psutil.virtual_memory().available / 1e9,
        shutil.disk_usage(SHARED_MEMORY).free / 1e9 if SHARED_MEMORY.is_dir() else 0.0,
        method == "fork" and not multiprocessing.current_process().daemon,
    )


def part_of(machine: Machine, assigned: Mapping[str, float], has: Mapping[str, float]) -> Machine:
    """Return the part of a machine whose worker was assigned some of its CPUs and GPUs.

    The resource of which it has the largest part decides: with one of eight GPUs it may use an
    eighth of the CPUs. A Ray that has fewer CPUs than the machine gives these alone.
    """
    shares = [assigned.get(name, 0.0) / has[name] for name in ("CPU", "GPU") if has.get(name)]
    num_cpus = min(machine.num_cpus, has.get("CPU", 0.0))
    return replace(machine, num_cpus=num_cpus).share(min(max(shares, default=0.0), 1.0))


def loader_share(machine: Machine, *, on_gpu: bool, cache_mb: int) -> LoaderShare:
    """Return how many loader processes a worker starts, each with a cache of `cache_mb`.

    On a GPU all CPUs but one load, since the training's own process has little to compute. On CPUs
    the networks take most of a step and loading a twentieth, so a quarter of the CPUs loads: none
    of one to three.
    """
    num_cpus = int(machine.num_cpus)
    where = "a GPU" if on_gpu else "CPUs"
    wanted = min(max(num_cpus - 1, 0) if on_gpu else num_cpus // 4, MOST)
    reason = f"of {num_cpus} CPUs, for a training on {where}"
    limits = {
        "processes cannot be forked here": wanted if machine.forks else 0,
        f"{machine.memory_gb:.1f} GB of memory are free and each caches {cache_mb} MB": (
            int(machine.memory_gb / 2 / (cache_mb / 1e3)) if cache_mb else wanted
        ),
        f"{machine.shared_memory_gb:.2f} GB are free in {SHARED_MEMORY}": int(
            machine.shared_memory_gb / GB_SHARED
        ),
    }
    tightest = min(limits, key=lambda name: limits[name])
    if limits[tightest] < wanted:
        return LoaderShare(limits[tightest], f"{reason}; {tightest}")
    return LoaderShare(wanted, reason)
