import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from olivine.errors import UserError
from olivine.mlflow_tracker import MlflowTracker, _client
from olivine.spec import Spec
from olivine.tracking import RunKey

ROOT = Path(__file__).parents[1]


class Settings(Spec):
    seed: int = 0
    rate: float = 1e-4
    scenes: tuple[str, ...] = ("a", "b")
    note: str = ""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    tracker = MlflowTracker(f"sqlite:///{tmp_path_factory.mktemp('store')}/new/mlflow.db", "tests")
    tracker.ensure_store()
    return tracker


def test_finished_run_remembers_settings_metrics_files_and_provenance(store, tmp_path):
    config, key = Settings(seed=3), RunKey("evaluate", "finished")
    figure = tmp_path / "figure.txt"
    figure.write_text("drawn")
    with store.run(key, "one", config, {"olivine.row": "full"}) as run:
        run.log_metrics({"loss": 2.0}, step=0)
        run.log_metrics({"loss": 1.0, "miou": 0.5}, step=1)
        run.log_file(figure, "figures")
    record = store.finished(key)
    assert (record.name, record.status, record.key) == ("one", "FINISHED", key)
    assert record.metrics == {"loss": 1.0, "miou": 0.5}
    assert record.settings == {
        "seed": "3", "rate": "0.0001", "scenes": '["a", "b"]', "note": ""
    }  # fmt: skip
    assert record.tags["olivine.seed"] == "3"
    assert record.tags["olivine.row"] == "full"
    assert record.tags["version.mlflow"]
    assert "figure.txt" in " ".join(
        item.path for item in _client(store.uri).list_artifacts(record.run_id, "figures")
    )
    path = _client(store.uri).download_artifacts(record.run_id, "config.yaml", str(tmp_path))
    assert Path(path).read_text() == config.to_yaml()


def test_long_settings_are_cut_in_the_store_and_whole_in_the_file(store, tmp_path):
    config, key = Settings(note="x" * 20_000), RunKey("evaluate", "long")
    with store.run(key, "long", config):
        pass
    record = store.finished(key)
    assert len(record.settings["note"]) == 6000
    assert "config.yaml has all" in record.settings["note"]
    path = _client(store.uri).download_artifacts(record.run_id, "config.yaml", str(tmp_path))
    assert "x" * 20_000 in Path(path).read_text()


def test_error_ends_failed_with_reason_and_the_next_start_reopens_the_run(store):
    key = RunKey("pretrain", "reopened")
    with contextlib.suppress(UserError), store.run(key, "first", Settings()) as first:
        first.log_metrics({"loss": 5.0}, step=0)
        first.log_metrics({"loss": 4.0}, step=1)
        raise UserError("The scan is broken.")
    (failed,) = store.records("pretrain", {"olivine.fingerprint": "reopened"})
    assert (failed.status, failed.tags["olivine.failure"]) == ("FAILED", "The scan is broken.")
    assert store.finished(key) is None

    time.sleep(0.002)  # a repeated step is told from the first by its millisecond
    with store.run(key, "second", Settings()) as second:
        second.log_metrics({"loss": 3.0}, step=1)
        second.log_metrics({"loss": 2.0}, step=2)
    assert second.run_id == first.run_id
    (record,) = store.records("pretrain", {"olivine.fingerprint": "reopened"})
    assert record.status == "FINISHED"
    assert "olivine.failure" not in record.tags
    assert store.history(record.run_id, "loss") == {0: 5.0, 1: 3.0, 2: 2.0}
    assert record.metrics["loss"] == 2.0


def test_interrupt_ends_killed(store):
    key = RunKey("pretrain", "interrupted")
    with pytest.raises(KeyboardInterrupt), store.run(key, "interrupted", Settings()):
        raise KeyboardInterrupt
    (record,) = store.records(tags={"olivine.fingerprint": "interrupted"})
    assert record.status == "KILLED"


def test_children_carry_parent_and_tags(store):
    with store.run(RunKey("sweep", "parent"), "parent", Settings()) as parent:
        inside = store.within(parent.run_id, {"olivine.sweep_run": parent.run_id, "n": 1})
        with inside.run(RunKey("trial", "child"), "child", Settings()):
            pass
    (child,) = store.records("trial", {"olivine.sweep_run": parent.run_id, "n": "1"})
    assert child.tags["mlflow.parentRunId"] == parent.run_id


def test_finished_run_is_found_from_another_experiment_of_the_store(store):
    key = RunKey("trial", "elsewhere")
    with MlflowTracker(store.uri, "another question").run(key, "elsewhere", Settings()):
        pass
    assert store.finished(key) is not None


def test_stale_runs_are_ended_and_only_those(store):
    with store.run(RunKey("trial", "alive"), "alive", Settings(), {"olivine.group": "b"}):
        client = _client(store.uri)
        dead = store.within("", {"olivine.group": "a"})._open(RunKey("trial", "dead"), "dead")
        client.set_tag(dead, "olivine.group", "a")
        assert store.end_stale({"olivine.group": "a"}, "KILLED", "its process is gone") == ["dead"]
        statuses = {record.name: record.status for record in store.records("trial")}
        assert (statuses["dead"], statuses["alive"]) == ("KILLED", "RUNNING")


def test_more_runs_than_one_page_are_all_read(store, monkeypatch):
    search = _client(store.uri).search_runs
    monkeypatch.setattr(
        _client(store.uri),
        "search_runs",
        lambda *args, **kw: search(*args, **{**kw, "max_results": 2}),
    )
    for index in range(5):
        with store.run(RunKey("paged", f"p{index}"), f"p{index}", Settings(seed=index)):
            pass
    assert [record.name for record in store.records("paged")] == ["p4", "p3", "p2", "p1", "p0"]


def test_half_made_or_foreign_databases_are_told_or_replaced(tmp_path):
    (tmp_path / ".mlflow.db.new").write_bytes(b"a process was killed while it made this")
    MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db").ensure_store()
    assert [path.name for path in tmp_path.glob("*.db")] == ["mlflow.db"]
    (tmp_path / "other.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match=r"Cannot open the run store .*other\.db"):
        MlflowTracker(f"sqlite:///{tmp_path}/other.db").ensure_store()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://127.0.0.1:9", "No MLflow server answers at http://127.0.0.1:9"),
        ("mlruns", "neither a file"),
        ("sqlite:////proc/olivine/mlflow.db", "Cannot open the run store"),
    ],
)
def test_unreachable_store_is_one_sentence(uri, told):
    with pytest.raises(UserError, match=told) as caught:
        MlflowTracker(uri).ensure_store()
    assert "\n" not in str(caught.value)


DRIVER = textwrap.dedent("""
    import sys, time
    from olivine.mlflow_tracker import MlflowTracker
    from olivine.spec import Spec
    from olivine.tracking import RunKey

    uri, name, wait_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    tracker = MlflowTracker(uri, "processes")
    with tracker.run(RunKey("trial", name), name, Spec()) as run:
        for step in range(20):
            run.log_metrics({"loss": step}, step)
            run.flush()
        print("going", flush=True)
        time.sleep(wait_s)
""")


def _start(uri: str, name: str, wait_s: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, uri, name, str(wait_s)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_processes_share_a_cold_store_and_sigterm_ends_killed(tmp_path):
    uri = f"sqlite:///{tmp_path}/cold.db"
    running = [_start(uri, name, 0) for name in ("a", "b")] + [_start(uri, "told", 60)]
    told = running[-1]
    assert told.stdout.readline() == "going\n"
    told.send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in running] == [0, 0, 143]
    tracker = MlflowTracker(uri, "processes")
    statuses = {record.name: record.status for record in tracker.records("trial")}
    assert statuses == {"a": "FINISHED", "b": "FINISHED", "told": "KILLED"}
    for record in tracker.records("trial"):
        assert tracker.history(record.run_id, "loss") == {step: step for step in range(20)}
