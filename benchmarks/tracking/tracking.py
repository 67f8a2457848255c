"""What tracking costs a training, and what it loses when the tracking server goes away.

A loop of steps of fixed work logs to a `mlflow server` that is stopped for a minute in the middle
(SIGSTOP: it takes connections and says nothing, as a machine that swaps does), beside the same
loop without tracking. Told are the slowest step over the median, of both, and, since other
programs slow steps too, what tracking itself did within a step: the time in its calls and the
processor time of its threads, which is the most that they can have kept the interpreter from the
work, as a share of that step. Then: metrics that are missing or there twice, and a call's time.

    python benchmarks/tracking/tracking.py [--step 0.1] [--outage 60] [--metrics 20]
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.store_uri import require_server
from olivine.tracking.tracker import NullTracker, RunKey, Tracker

BEFORE_S, AFTER_S = 10.0, 20.0  # of training around the outage
LARGER = 1.1  # times the median step


class Settings(Spec):
    """Those of a training are not what is measured."""

    seed: int = 0


@dataclass
class Steps:
    """Seconds of every step, within it those of the call, and of tracking's threads."""

    whole_s: list[float]
    call_s: list[float]
    threads_s: list[float]

    def tell(self, name: str) -> None:
        """Print the slowest step over the median, and how many exceed `LARGER` times it."""
        median_s = statistics.median(self.whole_s)
        late = sum(step_s > LARGER * median_s for step_s in self.whole_s)
        own_s = [sum(pair) for pair in zip(self.call_s, self.threads_s, strict=True)]
        factors = [whole / (whole - own) for whole, own in zip(self.whole_s, own_s, strict=True)]
        worst = factors.index(max(factors))
        print(
            f"{name}: {len(own_s)} steps of {1000 * median_s:.1f} ms (median); slowest "
            f"{max(self.whole_s) / median_s:.2f} x, {late} above {LARGER} x; slowed by tracking "
            f"itself {max(factors):.3f} x at most (step {worst}: "
            f"{1000 * self.call_s[worst]:.1f} ms in the call, "
            f"{1000 * self.threads_s[worst]:.1f} ms in threads), "
            f"{sum(factor > LARGER for factor in factors)} above {LARGER} x"
        )


def start_server(folder: Path) -> tuple[subprocess.Popen, str]:
    """Return a server that answers, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
                "--artifacts-destination", f"{folder}/artifacts",
            ],
            cwd=folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    while process.poll() is None:
        try:
            require_server(uri)
            return process, uri
        except UserError:
            time.sleep(0.2)
    raise SystemExit((folder / "server.log").read_text())


def work_of(step_s: float) -> int:
    """Return how many products of two matrices take that long."""
    square = np.ones((200, 200), np.float32)
    times_s = []
    for _ in range(300):
        before_s = time.perf_counter()
        square @ square
        times_s.append(time.perf_counter() - before_s)
    return max(1, round(step_s / statistics.median(times_s)))


def train(
    tracker: Tracker, seconds: float, num_products: int, num_metrics: int
) -> tuple[Steps, str]:
    """Train for so long, logging at every step; return its steps and the run."""
    square, steps = np.ones((200, 200), np.float32), Steps([], [], [])
    names = [f"pretrain/metric_{number}" for number in range(num_metrics)]
    with tracker.run(RunKey("pretrain", "measured"), "measured", Settings()) as run:
        threads = [t for t in threading.enumerate() if t.name.startswith("olivine ")]
        clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threads]
        until_s, step = time.perf_counter() + seconds, 0
        before_s, spent_s = time.perf_counter(), sum(map(time.clock_gettime, clocks))
        while before_s < until_s:
            for _ in range(num_products):
                square @ square
            called_s = time.perf_counter()
            run.log_metrics({name: float(step + n) for n, name in enumerate(names)}, step)
            now_s, now_spent_s = time.perf_counter(), sum(map(time.clock_gettime, clocks))
            steps.whole_s.append(now_s - before_s)
            steps.call_s.append(now_s - called_s)
            steps.threads_s.append(now_spent_s - spent_s)
            before_s, spent_s, step = now_s, now_spent_s, step + 1
        ended_s = time.perf_counter()
    print(f"  the end of the run took {time.perf_counter() - ended_s:.2f} s")
    return steps, run.run_id


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--step", type=float, default=0.1, help="seconds of a step")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without the server")
    parser.add_argument("--metrics", type=int, default=20, help="values logged at every step")
    arguments = parser.parse_args()
    num_products = work_of(arguments.step)
    seconds = BEFORE_S + arguments.outage + AFTER_S
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, uri = start_server(folder)
        try:
            tracker = MlflowTracker(uri, "measured", cache=str(folder / "cache"))
            tracker.ensure_store()
            open_client(uri)  # importing MLflow is not part of a step

            def stop_for_a_while() -> None:
                time.sleep(BEFORE_S)
                os.killpg(server.pid, signal.SIGSTOP)
                time.sleep(arguments.outage)
                os.killpg(server.pid, signal.SIGCONT)

            untracked, _ = train(NullTracker(), seconds, num_products, arguments.metrics)
            untracked.tell("without tracking")
            threading.Thread(target=stop_for_a_while, daemon=True).start()
            tracked, run_id = train(tracker, seconds, num_products, arguments.metrics)
            tracked.tell(f"server stopped for {arguments.outage:g} s")
            call_us = [1e6 * call_s for call_s in tracked.call_s]
            print(
                f"a call of log_metrics with {arguments.metrics} values: median "
                f"{statistics.median(call_us):.0f} us, 99th percentile "
                f"{np.percentile(call_us, 99):.0f} us, longest {max(call_us):.0f} us"
            )
            check(uri, run_id, len(tracked.whole_s), arguments.metrics)
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def check(uri: str, run_id: str, num_steps: int, num_metrics: int) -> None:
    """Print how many of the values that were logged are not there, or more than once."""
    missing = extra = out_of_order = 0
    for number in range(num_metrics):
        points = open_client(uri).get_metric_history(run_id, f"pretrain/metric_{number}")
        found = [point.step for point in sorted(points, key=lambda p: (p.timestamp, p.step))]
        missing += len(set(range(num_steps)) - set(found))
        extra += len(found) - len(set(found))
        out_of_order += found != sorted(found)
    print(
        f"of {num_steps * num_metrics} values {missing} are missing, {extra} there twice, "
        f"{out_of_order} metrics out of order"
    )


if __name__ == "__main__":
    main()
