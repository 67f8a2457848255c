"""How fast a large store is read: from its tables, and for comparison by MLflow's own search.

A store of ten thousand runs with two hundred parameters each is written into MLflow's tables. Told
is the time of what commands ask for: a finished fingerprint, a sweep's trials, one column of all
runs, everything; and of MLflow's search over a tenth of the store, in proportion.

    python benchmarks/tracking/run_reader.py [--runs 10000] [--params 200] [--metrics 30]
"""

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from olivine.tracking.mlflow_backend.client import ClientReader, experiment_id, open_client
from olivine.tracking.sql_reader import Query, SqlReader
from olivine.tracking.tracker import FINGERPRINT, STAGE, Columns

STAGES = ("trial", "pretrain", "evaluate")
CLIENT_SHARE = 10  # of the store that MLflow's own search reads: it takes long


def fingerprint(number: int) -> str:
    """Return that of a run; its three stages share one."""
    return hashlib.sha256(str(number // len(STAGES)).encode()).hexdigest()[:12]


def fill(uri: str, num_runs: int, num_params: int, num_metrics: int) -> None:
    """Write the runs of several experiments straight into the tables."""
    open_client(uri)
    experiments = [experiment_id(uri, f"question {n}", None) for n in range(5)]
    draw = random.Random(0)
    ids = [f"{number:032x}" for number in range(num_runs)]
    rows: dict[str, Iterator[tuple[Any, ...]]] = {
        "runs(run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, "
        "artifact_uri, experiment_id)": (
            (
                run,
                f"run {n}",
                "",
                "FINISHED",
                10**12 + n,
                10**12 + n + 9,
                "active",
                "/",
                experiments[n % 5],
            )
            for n, run in enumerate(ids)
        ),
        "tags(run_uuid, key, value)": (
            (run, key, value)
            for n, run in enumerate(ids)
            for key, value in (
                (STAGE, STAGES[n % 3]),
                (FINGERPRINT, fingerprint(n)),
                ("olivine.experiments.sweep", f"sweep {n // 300}"),
                *((f"version.package_{m}", "1.2.3") for m in range(12)),
            )
        ),
        "params(run_uuid, key, value)": (
            (run, f"pretrained.method.terms.term_{m // 10}.setting_{m}", str(draw.random()))
            for run in ids
            for m in range(num_params)
        ),
        "latest_metrics(run_uuid, key, value, timestamp, step, is_nan)": (
            (run, f"val/iou/class_{m}", draw.random(), 10**12, 0, False)
            for run in ids
            for m in range(num_metrics)
        ),
    }
    with sa.create_engine(uri).begin() as connection:
        cursor = connection.connection.cursor()
        for table, values in rows.items():
            marks = ", ".join("?" * (table.count(",") + 1))
            cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", values)


def tell(what: str, read: Callable[[], list[Any]], times: float = 1.0) -> None:
    """Print how many runs were read, and how long that took."""
    before_s, before_cpu_s = time.perf_counter(), time.process_time()
    num_runs = len(read())
    seconds, cpu_s = time.perf_counter() - before_s, time.process_time() - before_cpu_s
    print(f"{what:52s} {num_runs:6d} runs {times * seconds:8.2f} s ({times * cpu_s:.2f} s of CPU)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--params", type=int, default=200)
    parser.add_argument("--metrics", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        fill(uri, arguments.runs, arguments.params, arguments.metrics)
        size_gb = Path(folder, "mlflow.db").stat().st_size / 1e9
        print(f"{arguments.runs} runs of {arguments.params} parameters, {size_gb:.2f} GB")
        tables, client = SqlReader(uri), ClientReader(uri)
        a_trial = Query({STAGE: "trial", FINGERPRINT: fingerprint(99)}, status="FINISHED")
        one_sweep = Query({STAGE: "trial"}, fingerprints=[fingerprint(3 * n) for n in range(24)])
        few = Columns(settings=["pretrained.method.terms.term_1.setting_11"],
                      metrics=["val/iou/class_1"], tags=())  # fmt: skip
        for name, reader in (("tables", tables), ("MLflow", client)):
            tell(f"{name}: a finished fingerprint", lambda r=reader: r.records(a_trial))
            tell(f"{name}: a sweep's 24 trials", lambda r=reader: r.records(one_sweep))
        tell("tables: a setting and a metric of all", lambda: tables.records(Query(columns=few)))
        tell("tables: everything of all trials", lambda: tables.records(Query({STAGE: "trial"})))
        tell("tables: everything", lambda: tables.records(Query()))
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        fill(uri, arguments.runs // CLIENT_SHARE, arguments.params, arguments.metrics)
        tell(
            f"MLflow: everything, {CLIENT_SHARE} x that of a store a tenth the size",
            lambda: ClientReader(uri).records(Query()),
            CLIENT_SHARE,
        )


if __name__ == "__main__":
    main()
