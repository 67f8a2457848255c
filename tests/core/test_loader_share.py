"""How many loader processes a training starts by itself."""

import os

import pytest

from olivine.core.loader_share import MOST, Machine, loader_share, part_of, this_machine

LARGE = Machine(num_cpus=128.0, memory_gb=1000.0, shared_memory_gb=500.0)


@pytest.mark.parametrize(
    ("num_cpus", "on_gpu", "number"),
    [
        (1, True, 0), (2, True, 1), (4, True, 3), (4.9, True, 3), (16, True, MOST),
        (1, False, 0), (2, False, 0), (3, False, 0), (4, False, 1), (16, False, 4),
        (128, False, MOST), (0, True, 0), (0, False, 0),
    ],
)  # fmt: skip
def test_a_share_of_the_cpus_loads(num_cpus, on_gpu, number):
    share = loader_share(Machine(float(num_cpus), 1000.0, 500.0), on_gpu=on_gpu, cache_mb=1024)
    assert share.number == number
    assert f"of {int(num_cpus)} CPUs" in share.reason


@pytest.mark.parametrize(
    ("machine", "cache_mb", "number", "reason"),
    [
        (Machine(32.0, 1000.0, 0.064), 1024, 0, "0.06 GB are free in /dev/shm"),
        (Machine(32.0, 1000.0, 0.8), 1024, 3, "0.80 GB are free"),
        (Machine(32.0, 8.0, 10.0), 1024, 3, "8.0 GB of memory are free and each caches 1024 MB"),
        (Machine(32.0, 8.0, 10.0), 0, MOST, "of 32 CPUs"),
        (Machine(32.0, 1000.0, 10.0, forks=False), 1024, 0, "cannot be forked"),
    ],
)
def test_memory_and_the_way_processes_start_are_limits_and_are_named(
    machine, cache_mb, number, reason
):
    share = loader_share(machine, on_gpu=True, cache_mb=cache_mb)
    assert share.number == number
    assert reason in share.reason


def test_workers_of_one_machine_never_take_more_than_it_has():
    has = {"CPU": 128.0, "GPU": 8.0}
    one_gpu = part_of(LARGE, {"CPU": 1.0, "GPU": 1.0}, has)
    assert one_gpu == Machine(16.0, 125.0, 62.5)
    assert part_of(LARGE, {"CPU": 1.0}, has).num_cpus == 1
    assert part_of(LARGE, {"CPU": 1.0, "GPU": 0.25}, has).num_cpus == 4
    assert part_of(LARGE, {"CPU": 1.0, "GPU": 1.0}, {"CPU": 12.0, "GPU": 1.0}).num_cpus == 12
    assert part_of(LARGE, {}, has).num_cpus == 0


def test_cpus_are_those_that_the_process_may_use():
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        machine = this_machine()
    finally:
        os.sched_setaffinity(0, mine)
    assert machine.num_cpus == 1
    assert machine.memory_gb > 0
