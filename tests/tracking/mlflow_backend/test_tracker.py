import contextlib
import os
import pickle
import signal
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
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.sql_reader import SqlReader, UnreadableError
from olivine.tracking.tracker import Columns, Run, RunKey, Tracker
from tests.support import ROOT


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
        item.path for item in open_client(store.uri).list_artifacts(record.run_id, "figures")
    )
    path = open_client(store.uri).download_artifacts(record.run_id, "config.yaml", str(tmp_path))
    assert Path(path).read_text() == config.to_yaml()


def test_long_settings_are_cut_in_the_store_and_whole_in_the_file(store, tmp_path):
    config, key = Settings(note="x" * 20_000), RunKey("evaluate", "long")
    with store.run(key, "long", config):
        pass
    record = store.finished(key)
    assert len(record.settings["note"]) == 6000
    assert "config.yaml has all" in record.settings["note"]
    path = open_client(store.uri).download_artifacts(record.run_id, "config.yaml", str(tmp_path))
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


def test_a_question_has_an_experiment_of_its_own(store):
    asked = store.within("", {}, experiment="vmf concentration")
    with asked.run(RunKey("sweep", "asked"), "asked", Settings()) as parent:
        inside = asked.within(parent.run_id, {"olivine.sweep": "vmf"})
        with inside.run(RunKey("trial", "asked"), "trial", Settings()):
            pass
    with store.run(RunKey("trial", "by itself"), "by itself", Settings()):
        pass
    found = {run.key.fingerprint: run for run in store.records("trial")}
    assert found["asked"].experiment == "vmf concentration"
    assert found["by itself"].experiment == store.experiment
    assert store.finished(RunKey("trial", "asked")).end_s >= found["asked"].start_s > 1.7e9


def test_data_sets_are_inputs_of_a_run_and_known_by_their_digest(store):
    for name in ("first", "second"):
        with store.run(RunKey("evaluate", f"reads {name}"), name, Settings()) as run:
            for _ in range(2):  # as a writer does that was interrupted
                run.log_dataset("nuscenes", "0123456789ab", "/data/nuscenes", "train")
            run.log_dataset("nuscenes", "0123456789ab", "s3://lab/nuscenes", "val")
        inputs = open_client(store.uri).get_run(run.run_id).inputs.dataset_inputs
        found = {
            one.tags[0].value: (one.dataset.digest, one.dataset.source_type, one.dataset.source)
            for one in inputs
        }
        assert found == {
            "train": ("0123456789ab", "local", '{"uri": "/data/nuscenes"}'),
            "val": ("0123456789ab", "s3", '{"uri": "s3://lab/nuscenes"}'),
        }
        assert len(inputs) == 2


def test_the_machine_is_watched_while_a_stage_runs_and_not_beside_it(store):
    watched = replace(store, system_period_s=0.05)
    with watched.run(RunKey("trial", "holds"), "holds", Settings()) as trial:
        inside = watched.within(trial.run_id, {})
        with inside.run(RunKey("pretrain", "watched"), "watched", Settings()):
            time.sleep(0.5)
    metrics = store.finished(RunKey("pretrain", "watched")).metrics
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100  # nothing ran: it may be idle
    assert metrics["system/system_memory_usage_megabytes"] > 0
    assert not store.finished(RunKey("trial", "holds")).metrics
    assert "olivine monitor" not in {thread.name for thread in threading.enumerate()}


def test_what_a_parent_keeps_its_children_need_not(store, tmp_path):
    def names(run_id):
        return {file.path for file in open_client(store.uri).list_artifacts(run_id)}

    with store.run(RunKey("sweep", "keeps"), "keeps", Settings()) as parent:
        inside = store.within(parent.run_id, {})
        with inside.run(RunKey("trial", "kept for"), "kept for", Settings()) as child:
            pass
    assert "packages.txt" in names(parent.run_id)
    assert names(child.run_id) == {"config.yaml"}
    (tmp_path / "ablation.md").write_text("a table")
    store.log_files(parent.run_id, [tmp_path / "ablation.md"], "tables")  # it has ended
    assert {
        file.path for file in open_client(store.uri).list_artifacts(parent.run_id, "tables")
    } == {"tables/ablation.md"}


def test_histories_of_several_runs_are_read_at_once(store):
    ids = []
    for name in ("x", "y"):
        with store.run(RunKey("curves", name), name, Settings()) as run:
            run.log_metrics({"loss": 1.0, f"only {name}": 2.0}, 0)
            run.log_metrics({"loss": 0.5}, 1)
        ids.append(run.run_id)
    assert store.histories(ids, "loss") == {one: {0: 1.0, 1: 0.5} for one in ids}
    assert store.histories(ids, "only y") == {ids[1]: {0: 2.0}}
    assert store.history(ids[0], "only y") == {}


def test_fewer_columns_and_only_some_fingerprints_are_read(store):
    for name in ("p", "q", "r"):
        with store.run(RunKey("columns", name), name, Settings(), {"row": name}) as run:
            run.log_metrics({"miou": 1.0, "loss": 2.0}, 0)
    few = Columns(settings=["rate"], metrics=["miou"], tags=())
    found = store.records("columns", fingerprints=["p", "r", "never"], columns=few)
    assert [(run.name, run.settings, run.metrics, run.tags) for run in found] == [
        (name, {"rate": "0.0001"}, {"miou": 1.0}, {}) for name in ("r", "p")
    ]
    assert [run.key for run in found] == [RunKey("columns", "r"), RunKey("columns", "p")]


def test_it_can_be_sent_to_another_process(store):
    tracker = pickle.loads(pickle.dumps(store.within("parent", {"a": 1})))
    assert isinstance(tracker, Tracker)
    assert (tracker.parent, tracker.tags) == ("parent", {"a": "1"})
    with tracker.run(RunKey("trial", "sent"), "sent", Settings()) as run:
        assert isinstance(run, Run)


def test_a_name_that_mlflow_refuses_is_told_at_once(store):
    with store.run(RunKey("trial", "names"), "names", Settings()) as run:
        run.log_metrics({"iou/traffic cone": 1.0, "a-b_c.d:e": 2.0}, 0)
        for name in ("what?", "", "x" * 251):
            with pytest.raises(UserError, match="A metric cannot be called"):
                run.log_metrics({name: 1.0}, 0)
    assert set(store.finished(RunKey("trial", "names")).metrics) == {
        "iou/traffic cone",
        "a-b_c.d:e",
    }


def test_a_folder_that_cannot_hold_the_spool_fails_the_run_in_a_sentence(store, tmp_path):
    (tmp_path / "mlflow.db").symlink_to(store.uri.removeprefix("sqlite:///"))
    (tmp_path / "undelivered").write_text("no folder")
    tracker = replace(store, uri=f"sqlite:///{tmp_path}/mlflow.db")
    with (
        pytest.raises(UserError, match=r"Cannot write .*undelivered"),
        tracker.run(RunKey("trial", "no spool"), "no spool", Settings()),
    ):
        pass
    (record,) = store.records("trial", fingerprints=["no spool"])
    assert record.status == "FAILED"


def test_finished_run_is_found_from_another_experiment_of_the_store(store):
    key = RunKey("trial", "elsewhere")
    with MlflowTracker(store.uri, "another question").run(key, "elsewhere", Settings()):
        pass
    assert store.finished(key) is not None


def test_stale_runs_are_ended_and_only_those(store):
    with store.run(RunKey("trial", "alive"), "alive", Settings(), {"olivine.group": "b"}):
        _, spool, _ = store._open(RunKey("trial", "dead"), "dead", {"olivine.group": "a"})
        spool.close()  # as its process would by ending
        assert store.end_stale({"olivine.group": "a"}, "KILLED", "its process is gone") == ["dead"]
        statuses = {record.name: record.status for record in store.records("trial")}
        assert (statuses["dead"], statuses["alive"]) == ("KILLED", "RUNNING")


def test_more_runs_than_one_page_are_all_read(store, monkeypatch):
    monkeypatch.setattr(SqlReader, "records", _unreadable)  # as a server's are read
    search = open_client(store.uri).search_runs
    monkeypatch.setattr(
        open_client(store.uri),
        "search_runs",
        lambda *args, **kw: search(*args, **{**kw, "max_results": 2}),
    )
    for index in range(5):
        with store.run(RunKey("paged", f"p{index}"), f"p{index}", Settings(seed=index)):
            pass
    assert [record.name for record in store.records("paged")] == ["p4", "p3", "p2", "p1", "p0"]


def _unreadable(*_):
    raise UnreadableError("there is no such table")


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
    from olivine.tracking.mlflow_backend.tracker import MlflowTracker
    from olivine.core.spec import Spec
    from olivine.tracking.tracker import RunKey

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
def test_a_killed_process_loses_nothing_and_its_run_goes_on(tmp_path):
    uri = f"sqlite:///{tmp_path}/killed.db"
    tracker = MlflowTracker(uri, "processes")
    tracker.ensure_store()
    killed = _start(uri, "killed", 60)
    assert killed.stdout.readline() == "going\n"
    killed.kill()
    killed.wait()
    (before,) = tracker.records("trial")
    assert before.status == "RUNNING"
    with tracker.run(RunKey("trial", "killed"), "killed", Settings()) as run:
        assert run.run_id == before.run_id
        run.log_metrics({"loss": 20.0}, 20)
    (after,) = tracker.records("trial")
    assert after.status == "FINISHED"
    points = open_client(uri).get_metric_history(run.run_id, "loss")
    assert sorted(point.step for point in points) == list(range(21))
    assert not list((tmp_path / "undelivered").rglob("*.outbox"))


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
