"""PostgreSQL behind a tracking server, and without one: fifty runs that log at once."""

import os
import subprocess
import sys
import textwrap

import pytest
import sqlalchemy as sa

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.tracking.mlflow_backend.client import ClientReader
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.sql_reader import Query, SqlReader
from olivine.tracking.tracker import STAGE, RunKey
from tests.support import ROOT
from tests.support.servers.mlflow_server import mlflow_server
from tests.support.servers.postgres import postgres

pytestmark = pytest.mark.slow
NUM_PROCESSES, NUM_RUNS_EACH, NUM_STEPS = 5, 10, 30

PROCESS = textwrap.dedent("""
    import contextlib, sys
    from olivine.tracking.mlflow_backend.tracker import MlflowTracker
    from olivine.core.spec import Spec
    from olivine.tracking.tracker import RunKey

    uri, cache, process, num_runs, num_steps = *sys.argv[1:4], *map(int, sys.argv[4:])
    tracker = MlflowTracker(uri, "fifty", cache=cache, patience_s=240.0)
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(tracker.run(RunKey("trial", f"{process}.{n}"), f"{n}", Spec()))
            for n in range(num_runs)
        ]
        for step in range(num_steps):
            for number, run in enumerate(runs):
                run.log_metrics({"loss": step + number / 100, "inf": float("inf")}, step)
""")


@pytest.fixture(scope="module")
def database():
    with postgres() as uri:
        yield uri


def test_fifty_runs_log_at_once_and_nothing_is_lost_or_there_twice(database, tmp_path):
    with mlflow_server(tmp_path, database, workers=2) as server:
        processes = [
            subprocess.Popen(
                [
                    sys.executable, "-c", PROCESS, server.uri, str(tmp_path / "cache"),
                    str(process), str(NUM_RUNS_EACH), str(NUM_STEPS),
                ],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for process in range(NUM_PROCESSES)
        ]  # fmt: skip
        assert [process.wait(500) for process in processes] == [0] * NUM_PROCESSES
        query = Query({STAGE: "trial"})
        runs = SqlReader(database).records(query)
        assert list(map(repr, runs)) == list(map(repr, ClientReader(server.uri).records(query)))
    assert {run.status for run in runs} == {"FINISHED"}
    assert len({run.key for run in runs}) == len(runs) == NUM_PROCESSES * NUM_RUNS_EACH
    histories = SqlReader(database).histories([run.run_id for run in runs], "loss")
    for run in runs:
        number = int(run.name)
        assert histories[run.run_id] == {step: step + number / 100 for step in range(NUM_STEPS)}
    with sa.create_engine(database).connect() as connection:
        rows = connection.execute(sa.text("SELECT count(*) FROM metrics")).scalar()
    assert rows == len(runs) * NUM_STEPS * 2
    assert not list((tmp_path / "cache").rglob("*.outbox"))


def test_a_database_without_a_server_is_told_where_files_go(database, tmp_path):
    key, cache = RunKey("trial", "direct"), str(tmp_path / "cache")
    tracker = MlflowTracker(database, "direct", cache=cache, artifacts=str(tmp_path / "files"))
    with tracker.run(key, "direct", Spec()) as run:
        run.log_metrics({"loss": 1.0}, 0)
    assert tracker.finished(key).metrics == {"loss": 1.0}
    assert list((tmp_path / "files" / "direct").rglob("config.yaml"))
    with (
        pytest.raises(UserError, match="start `mlflow server` on that database"),
        MlflowTracker(database, "elsewhere", cache=cache).run(RunKey("trial", "x"), "x", Spec()),
    ):
        pass
