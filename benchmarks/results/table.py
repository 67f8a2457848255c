"""How long `olivine table` takes over a large store: ten thousand trials of two hundred settings.

A sweep of 2,000 rows and five seeds is written into MLflow's tables; then the command runs as a
person runs it, from the start of Python to the last file. Told is the time by the clock and of the
processor, which on a busy machine differ.

    python benchmarks/results/table.py [--rows 2000] [--settings 200]
"""

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olivine.core.spec import Spec
from olivine.experiments.sweep_plan import ROW, SEED, SWEEP, PlannedTrial, SweepPlan
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import FINGERPRINT, STAGE, RunKey

NUM_SEEDS = 5
METRICS = ("miou", "accuracy", *(f"iou/class_{number}" for number in range(16)))
TABLES = (
    ["large"],
    ["large", "--baseline", "row 0"],
    ["large", "--by", "part0.setting1,part0.setting3", "--columns", "protocol"],
    ["all", "--by", "part0.setting1", "--columns", "part0.setting2,protocol", "--baseline", "0"],
)


def fill(folder: Path, num_rows: int, num_settings: int) -> None:
    """Make the store, with its sweep."""
    tracker = MlflowTracker(f"sqlite:///{folder}/mlflow.db")
    tracker.ensure_store()
    prints = {(row, s): f"{row:06x}{s:06x}" for row in range(num_rows) for s in range(NUM_SEEDS)}
    plan = SweepPlan(
        name="large",
        metric="miou",
        trials={name: PlannedTrial(row=f"row {r}", seed=s) for (r, s), name in prints.items()},
    )
    with tracker.run(RunKey("sweep", "large"), "large", Spec()) as sweep:
        pass
    values: dict[str, list[tuple[Any, ...]]] = {"runs": [], "params": [], "tags": [], "metrics": []}
    draw = random.Random(0)
    for (row, seed), name in prints.items():
        run = f"{draw.getrandbits(128):032x}"
        values["runs"].append((run, f"row {row}", 10**12 + row))
        values["params"] += [(run, *setting) for setting in settings(row, seed, num_settings)]
        tags = {STAGE: "trial", FINGERPRINT: name, ROW: f"row {row}", SEED: seed, SWEEP: "large"}
        values["tags"] += [(run, tag, str(value)) for tag, value in tags.items()]
        values["metrics"] += [(run, metric, draw.gauss(30 + row % 50, 1)) for metric in METRICS]
    values["params"] += [(sweep.run_id, k, str(value)) for k, value in plan.flatten().items()]
    with sqlite3.connect(folder / "mlflow.db") as database:
        (experiment,) = database.execute("SELECT max(experiment_id) FROM experiments").fetchone()
        for table, sql in (
            ("runs", "runs(run_uuid, name, start_time, end_time, status, user_id, lifecycle_stage, "
             f"experiment_id) VALUES (?, ?, ?3, ?3, 'FINISHED', '', 'active', {experiment})"),
            ("params", "params(run_uuid, key, value) VALUES (?, ?, ?)"),
            ("tags", "tags(run_uuid, key, value) VALUES (?, ?, ?)"),
            ("metrics", "latest_metrics(run_uuid, key, value, timestamp, step, is_nan) "
             "VALUES (?, ?, ?, 0, 0, 0)"),
        ):  # fmt: skip
            database.executemany(f"INSERT INTO {sql}", values[table])


def settings(row: int, seed: int, number: int) -> Iterator[tuple[str, str]]:
    """Yield a trial's settings: eleven of them differ from row to row."""
    yield from (("seed", str(seed)), ("protocol", "finetune" if row % 2 else "linear_probe"))
    for place in range(number - 2):
        value = row >> place & 1 if place < 11 else place
        yield f"part{place // 10}.setting{place}", str(value)


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--settings", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place), chosen.rows, chosen.settings)
        size_mb = Path(place, "mlflow.db").stat().st_size / 1e6
        print(f"{chosen.rows * NUM_SEEDS} trials of {chosen.settings} settings, {size_mb:.0f} MB")
        for words in TABLES:
            command = [sys.executable, "-m", "olivine.cli.main", "table", *words]
            begin_s, before = time.monotonic(), os.times()
            subprocess.run(
                [*command, "--set", f"runtime.out={place}"], check=True, stdout=subprocess.DEVNULL
            )
            wall_s, after = time.monotonic() - begin_s, os.times()
            used_s = after[2] + after[3] - before[2] - before[3]
            told = " ".join(f"'{word}'" if " " in word else word for word in words)
            print(f"{wall_s:5.1f} s, of the processor {used_s:5.1f} s: olivine table {told}")


if __name__ == "__main__":
    main()
