"""Where a call's time goes on a GPU: kernels, launches, idle time, waits, by torch's profiler."""

import bisect
import json
import linecache
import os
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

KINDS = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
WINDOW = "the measured call"
MOST = 15  # rows of a ranking
ROOT = Path(__file__).parents[2]
COPIES = ("gpu_memcpy", "gpu_memset")
CALLS = ("cuda_runtime", "cuda_driver")  # of this process to CUDA
PROTOTYPE = "Synchronization debug mode is a prototype"
WAITING = ("Synchronize", "cudaMemcpy", "cudaFree", "cudaMalloc", "cudaHostAlloc")

Event = dict[str, Any]  # of a trace in Chrome's format: times in microseconds
Row = dict[str, Any]


@dataclass(frozen=True)
class Profile:
    """What the profiler saw of one call."""

    window_ms: float  # time of the call in this process, which the profiler lengthens
    busy_ms: float  # in which the device computed or copied
    num_kernels: int
    kernels: list[Row]  # by name, the longest in sum first
    copies: list[Row]  # by kind
    calls: list[Row]  # to CUDA by name, the longest in sum first
    waits: list[Row]  # calls that may wait, by the operation that made them
    operations: list[Row]  # which launched kernels, the most first

    def numbers(self) -> dict[str, Any]:
        """Return all of it for the report's file."""
        return vars(self)

    def idle_share(self, wall_ms: float) -> float:
        """Return the share of a time without the profiler in which the device had nothing to do."""
        return max(0.0, 1 - self.busy_ms / wall_ms)

    def num_waits(self) -> int:
        """Return how often the process asked CUDA to wait for the device."""
        return sum(row["count"] for row in self.calls if "Synchronize" in row["name"])


def profile(
    call: Callable[[], object], device: str, scratch: Path, *, with_stack: bool = False
) -> Profile | None:
    """Return what the profiler sees of a call, or None where it sees no kernel.

    With `with_stack` waits are named by functions of this project, too; it slows the call a lot.
    """
    if not device.startswith("cuda"):
        return None
    _start_once()
    torch.cuda.synchronize()
    with (
        without_warning(".*clears events"),  # of earlier cycles: here is one
        torch.profiler.profile(activities=KINDS, with_stack=with_stack) as profiler,
    ):
        with torch.profiler.record_function(WINDOW):
            call()
        torch.cuda.synchronize()
    path = scratch / "trace.json"
    profiler.export_chrome_trace(str(path))
    events = json.loads(path.read_text(errors="replace"))["traceEvents"]
    path.unlink()
    found = read_trace(events)
    return found if found.num_kernels else None


@cache
def _start_once() -> None:
    """Profile nothing once: the first start takes seconds, and may miss kernels."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it prints lines of its own at every start
    with without_warning(".*clears events"), torch.profiler.profile(activities=KINDS):
        torch.ones(1, device="cuda").add_(1)
        torch.cuda.synchronize()


def read_trace(events: Iterable[Event]) -> Profile:
    """Return what a trace says of the call that has the name WINDOW in it."""
    by_kind: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.get("ph") == "X":
            by_kind[event.get("cat", "")].append(event)
    window = next(e for e in by_kind["user_annotation"] if e["name"] == WINDOW)
    first, last = window["ts"], window["ts"] + window["dur"]
    calls = [e for kind in CALLS for e in by_kind[kind] if first <= e["ts"] < last]
    kernels = by_kind["kernel"]
    copies = [e for kind in COPIES for e in by_kind[kind]]
    ops = [e for e in by_kind["cpu_op"] if first <= e["ts"] < last]
    own = [e for e in by_kind["python_function"] if "olivine/" in e["name"]]
    operation_of, function_of = enclosing(calls, ops), enclosing(calls, own)
    by_number = {e["args"]["External id"]: e["name"] for e in ops if "External id" in e["args"]}
    for call, path in zip(calls, operation_of, strict=True):
        number = call.get("args", {}).get("External id")
        if not path and number in by_number:  # the thread is not known by the same number
            path.append(by_number[number])
    waiting = [i for i, e in enumerate(calls) if any(word in e["name"] for word in WAITING)]
    waiting = [i for i in waiting if "Async" not in calls[i]["name"]]
    waits = [
        (calls[i]["name"], path_of(operation_of[i]), path_of(function_of[i]), calls[i]["dur"])
        for i in waiting
    ]
    return Profile(
        window_ms=window["dur"] / 1e3,
        busy_ms=union_us(kernels + copies) / 1e3,
        num_kernels=len(kernels),
        kernels=ranked((e["name"], e["dur"]) for e in kernels),
        copies=ranked((e["name"], e["dur"]) for e in copies),
        calls=ranked(((e["name"], e["dur"]) for e in calls), None),
        waits=ranked_waits(waits),
        operations=launching(calls, operation_of, kernels),
    )


def enclosing(inner: Sequence[Event], outer: Sequence[Event]) -> list[list[str]]:
    """Return, for each event, the names of the outer ones that were open, the outermost first."""
    begins: defaultdict[Any, list[tuple[float, float, str]]] = defaultdict(list)
    for event in outer:
        span = event["ts"], event["ts"] + event["dur"], event["name"]
        begins[event.get("tid")].append(span)
    names: list[list[str]] = [[] for _ in inner]
    queues = {tid: sorted(spans, key=lambda s: (s[0], -s[1])) for tid, spans in begins.items()}
    order = sorted(range(len(inner)), key=lambda i: inner[i]["ts"])
    places: Counter[Any] = Counter()
    stacks: defaultdict[Any, list[tuple[float, float, str]]] = defaultdict(list)
    for i in order:
        tid, now = inner[i].get("tid"), inner[i]["ts"]
        queue, stack = queues.get(tid, []), stacks[tid]
        upto = bisect.bisect_right(queue, now, lo=places[tid], key=lambda span: span[0])
        for span in queue[places[tid] : upto]:
            while stack and stack[-1][1] <= span[0]:
                stack.pop()
            stack.append(span)
        places[tid] = upto
        while stack and stack[-1][1] <= now:
            stack.pop()
        names[i] = [name for _, _, name in stack]
    return names


def path_of(names: Sequence[str]) -> str:
    """Return the innermost three names, the outermost of them first."""
    return " > ".join(names[-3:])


def launching(calls: Sequence[Event], names: Sequence[list[str]], kernels: list[Event]) -> list:
    """Return the operations that launched kernels, with launches and time on the device."""
    spent_us = {e["args"].get("correlation"): e["dur"] for e in kernels if "args" in e}
    launches = [
        (path_of(path[-1:]) or "none", spent_us[call["args"]["correlation"]])
        for call, path in zip(calls, names, strict=True)
        if call.get("args", {}).get("correlation") in spent_us
    ]
    return sorted(ranked(launches, None), key=lambda row: -row["count"])[:MOST]


def ranked(pairs: Iterable[tuple[str, float]], most: int | None = MOST) -> list[Row]:
    """Return count and milliseconds of each name, from microseconds, the longest in sum first."""
    counts: Counter[str] = Counter()
    spent_us: Counter[str] = Counter()
    for name, duration_us in pairs:
        counts[name] += 1
        spent_us[name] += duration_us
    order = sorted(counts, key=lambda name: -spent_us[name])[:most]
    return [{"name": name, "count": counts[name], "ms": spent_us[name] / 1e3} for name in order]


def ranked_waits(waits: Iterable[tuple[str, str, str, float]]) -> list[Row]:
    """Return the waits by call, operation and function of this project."""
    joined = {(call, op, at): " | ".join((call, op, at)) for call, op, at, _ in waits}
    keys = {text: key for key, text in joined.items()}
    rows = ranked(((joined[call, op, at], spent) for call, op, at, spent in waits), MOST)
    for row in rows:
        row["call"], row["operation"], row["function"] = keys[row.pop("name")]
    return rows


def union_us(events: Iterable[Event]) -> float:
    """Return the time in which any of the events took place."""
    total, end = 0.0, float("-inf")
    for first, last in sorted((e["ts"], e["ts"] + e["dur"]) for e in events):
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total


def waits_by_line(call: Callable[[], object], device: str) -> list[Row]:
    """Return the lines of this project that make CUDA wait in a call, the most frequent first.

    torch warns of most operations that wait; the warning comes at the line that made it.
    """
    if not device.startswith("cuda"):
        return []
    mode = torch.cuda.get_sync_debug_mode()
    with without_warning(PROTOTYPE):
        torch.cuda.set_sync_debug_mode("warn")
    try:
        with warned_waits() as places:
            call()
    finally:
        with without_warning(PROTOTYPE):
            torch.cuda.set_sync_debug_mode(mode)
    rows = []
    for (path, line), count in places.most_common(MOST):
        text = linecache.getline(path, line).strip()
        rows.append({"count": count, "line": f"{short(path)}:{line}", "text": text})
    return rows


@contextmanager
def without_warning(pattern: str) -> Iterator[None]:
    """Do not print the warnings whose beginning a pattern matches."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=pattern)
        yield


@contextmanager
def warned_waits() -> Iterator[Counter[tuple[str, int]]]:
    """Count torch's warnings of waits by the innermost line of this project."""
    places: Counter[tuple[str, int]] = Counter()

    def note(message: Warning | str, *_: object, **__: object) -> None:
        if "synchroniz" in str(message):
            places[innermost()] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        yield places


def innermost() -> tuple[str, int]:
    """Return the innermost line of the stack that is the library's, else one outside this file."""
    stack, frame = [], sys._getframe()
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    library = [place for place in stack if f"{ROOT}/olivine/" in place[0]]
    others = [place for place in stack if place[0] not in (__file__, warnings.__file__)]
    return (library or others or [("?", 0)])[0]


def short(path: str) -> str:
    """Return a path below the checkout or below site-packages."""
    for root in (f"{ROOT}/", "site-packages/"):
        if root in path:
            return path.rpartition(root)[2]
    return path
