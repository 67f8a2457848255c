"""How benchmarks measure: time of the best round, memory of a process, ratios to ours."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Clock = Callable[[], float]


def best_of(
    rounds: int,
    call: Callable[[], object],
    clock: Clock = time.perf_counter,
    *,
    warm_up: bool = True,
) -> float:
    """Return the seconds of a call's best round, after one to warm up if that is wanted."""
    return min(seconds_of_rounds(rounds, {"": call}, clock, warm_up=warm_up)[""])


def seconds_of_rounds(
    rounds: int,
    calls: Mapping[str, Callable[[], object]],
    clock: Clock = time.perf_counter,
    *,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Return the seconds of every round of each call; in a round they take turns.

    The clock is the wall's, `time.perf_counter`, or the processor's, `time.process_time`, which
    other load on the machine lengthens little and which counts all threads of the process.
    """
    if warm_up:
        for call in calls.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin_s = clock()
            call()
            seconds[name].append(clock() - begin_s)
    return seconds


def print_ratios(seconds: Mapping[str, float], name_width: int = 8) -> None:
    """Print the milliseconds of each way, and its ratio to the way called "ours"."""
    for name, value in seconds.items():
        ratio = value / seconds["ours"]
        print(f"  {name:{name_width}} {value * 1e3:8.1f} ms   {ratio:6.2f} x ours")


def status_bytes(name: str) -> int:
    """Return a line of the process's own memory account, such as VmRSS or VmHWM; Linux only."""
    with open("/proc/self/status") as lines:
        found = next(line for line in lines if line.startswith(name))
    return int(found.split()[1]) * 1024


def answer_of(script: str, *words: str) -> Any:
    """Return what a script prints as JSON in a process of its own."""
    run = subprocess.run([sys.executable, script, *words], check=True, stdout=subprocess.PIPE)
    return json.loads(run.stdout)
