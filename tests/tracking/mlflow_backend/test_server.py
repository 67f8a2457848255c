"""A tracking server that is stopped, killed and comes back: training goes on, nothing is lost."""

import json
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.tracking.mlflow_backend.client import ClientReader, open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.spool import REFUSED, left_behind
from olivine.tracking.sql_reader import SqlReader
from olivine.tracking.tracker import STAGE, RunKey
from tests.support import ROOT
from tests.support.run_stores.run_readers import both_read_the_same
from tests.support.servers.mlflow_server import Server, mlflow_server

pytestmark = pytest.mark.slow  # starting a server alone takes that long
STEP_S = 0.02


class Settings(Spec):
    seed: int = 0
    rate: float = 1e-4


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def tracker(server, tmp_path):
    return MlflowTracker(server.uri, "questions", cache=str(tmp_path / "cache"))


def undelivered(tracker: MlflowTracker) -> list[Path]:
    return left_behind(tracker._folder())


def come_back_after(server: Server, seconds: float) -> threading.Thread:
    def come_back() -> None:
        time.sleep(seconds)
        server.start()

    thread = threading.Thread(target=come_back)
    thread.start()
    return thread


def test_steps_go_on_while_the_server_is_stopped_and_killed(server, tracker):
    key, num_steps = RunKey("pretrain", "outage"), 400
    call_s, step_s = [], []
    patient = replace(tracker, patience_s=240.0)  # the server may take long to come back
    with patient.run(key, "outage", Settings()) as run:
        for step in range(num_steps):
            before_s = time.perf_counter()
            run.log_metrics({"loss": 1 / (step + 1), "lr": 0.1}, step)
            call_s.append(time.perf_counter() - before_s)
            if step % 50 == 0:
                run.flush()
            time.sleep(STEP_S)
            step_s.append(time.perf_counter() - before_s)
            if step == 50:
                server.signal(signal.SIGSTOP)
            elif step == 200:
                server.signal(signal.SIGCONT)
            elif step == 250:
                server.kill()
                back = come_back_after(server, 1.0)
        back.join()
    assert statistics.median(call_s) < 0.002
    assert sorted(call_s)[-num_steps // 50] < 0.05, "all but one in fifty, on a busy machine too"
    assert sum(step_s) < 1.5 * num_steps * STEP_S
    assert not undelivered(tracker)
    record = tracker.finished(key)
    assert record.metrics["loss"] == 1 / num_steps
    points = open_client(server.uri).get_metric_history(record.run_id, "loss")
    in_order = sorted(points, key=lambda point: (point.timestamp, point.step))
    assert [(p.step, p.value) for p in in_order] == [(s, 1 / (s + 1)) for s in range(num_steps)]


PROCESS = textwrap.dedent("""
    import sys, time
    from olivine.tracking.mlflow_backend.tracker import MlflowTracker
    from olivine.core.spec import Spec
    from olivine.tracking.tracker import RunKey

    uri, cache, name, num_steps, wait_s = *sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5])
    tracker = MlflowTracker(uri, "processes", cache=cache, patience_s=1.0)
    with tracker.run(RunKey("trial", name), name, Spec()) as run:
        print("open", flush=True)
        sys.stdin.readline()
        for step in range(num_steps):
            run.log_metrics({"loss": float(step), "half": step / 2}, step)
        run.set_tags({"path": name})
        print("logged", flush=True)
        time.sleep(wait_s)
""")


def start(tracker: MlflowTracker, name: str, num_steps: int, wait_s: float = 0) -> subprocess.Popen:
    process = subprocess.Popen(
        [
            sys.executable, "-c", PROCESS,
            tracker.uri, tracker.cache, name, str(num_steps), str(wait_s),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "open\n", process.stderr.read()
    return process


def go_on(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "logged\n"


def test_what_a_run_could_not_deliver_the_next_start_does_and_its_status_too(
    server, tracker, caplog
):
    ended, killed = start(tracker, "ended", 300), start(tracker, "killed", 300, wait_s=60)
    server.signal(signal.SIGSTOP)
    go_on(ended)
    go_on(killed)
    killed.kill()
    killed.wait()
    _, told = ended.communicate(timeout=60)
    assert ended.returncode == 0
    (sentence,) = [line for line in told.splitlines() if line.startswith("Run 'ended'")]
    assert "is FINISHED, but" in sentence
    assert len(undelivered(tracker)) == 2
    server.signal(signal.SIGCONT)
    assert {run.status for run in tracker.records("trial")} == {"RUNNING"}

    tracker.ensure_store()
    assert "Sent the metrics of 2 earlier starts of runs" in caplog.text
    assert not undelivered(tracker)
    statuses = {run.name: run.status for run in tracker.records("trial")}
    assert statuses == {"ended": "FINISHED", "killed": "RUNNING"}
    for run in tracker.records("trial"):
        assert tracker.history(run.run_id, "loss") == {step: float(step) for step in range(300)}
        assert run.tags["path"] == run.name
    (found,) = {run.experiment for run in tracker.records("trial")}
    assert found == "processes"
    assert tracker.end_stale({STAGE: "trial"}, "KILLED", "its process is gone") == ["killed"]


def test_an_end_that_comes_late_does_not_end_a_run_that_was_opened_again(server, tracker):
    key = RunKey("trial", "late")
    process = start(tracker, "late", 10)
    server.signal(signal.SIGSTOP)
    go_on(process)
    process.communicate(timeout=60)
    assert len(undelivered(tracker)) == 1
    server.signal(signal.SIGCONT)
    elsewhere = MlflowTracker(tracker.uri, "processes", cache=tracker.cache + " of another machine")
    with elsewhere.run(key, "late again", Settings()) as run:
        tracker.ensure_store()
        assert not undelivered(tracker)
        (record,) = tracker.records("trial", fingerprints={"late"})
        assert (record.status, record.run_id) == ("RUNNING", run.run_id)
        assert "path" not in record.tags
        assert len(tracker.history(run.run_id, "loss")) == 10
    assert tracker.finished(key) is not None


def test_what_the_server_refuses_is_put_aside_and_logged(server, tracker, caplog):
    with tracker.run(RunKey("trial", "names"), "names", Settings()) as run:
        with pytest.raises(UserError, match=r"A metric cannot be called .not allowed: \?!"):
            run.log_metrics({"loss": 1.0, "not allowed: ?!": 2.0}, 0)
        run.set_tags({"fine": "yes", "not allowed: ?!": "no"})
        run.log_dataset(
            "scans", "a digest of more than 36 characters, which is too long", "/", "train"
        )
        run.log_metrics({"loss": 1.0}, 0)
    assert tracker.finished(RunKey("trial", "names")).tags["fine"] == "yes"
    assert len(tracker.history(run.run_id, "loss")) == 1
    told = [line for line in caplog.messages if "refused" in line]
    assert len(told) == 2
    (path,) = tracker._folder().glob(f"*{REFUSED}")
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == [
        "tags",
        "dataset",
    ]


def test_a_run_that_is_deleted_meanwhile_ends_in_a_sentence(server, tracker, caplog):
    with tracker.run(RunKey("trial", "deleted"), "deleted", Settings()) as run:
        open_client(server.uri).delete_run(run.run_id)
        for step in range(30):
            run.log_metrics({"loss": 1.0}, step)
    (told,) = [line for line in caplog.messages if line.startswith("Run 'deleted'")]
    assert "was deleted in" in told
    assert not tracker.records("trial", fingerprints={"deleted"})


def test_tables_and_the_server_tell_the_same(server, tracker):
    both_read_the_same(tracker, SqlReader(server.database), ClientReader(server.uri))
