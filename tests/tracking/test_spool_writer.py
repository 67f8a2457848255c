"""Sending to a store that does not answer, refuses, or has lost the run: in order and once."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.tracking.spool import REFUSED, MetricSpool, left_behind
from olivine.tracking.spool_lines import Entry
from olivine.tracking.spool_writer import RunDeletedError, SpoolWriter, send_left_behind


class Store:
    """Keeps what it is sent; `problem` says what happens to a request."""

    def __init__(self) -> None:
        self.taken: list[Entry] = []
        self.requests: list[list[Entry]] = []
        self.is_there = True
        self.problem: Callable[[Sequence[Entry]], Exception | None] = lambda entries: None

    def sender_of(self, spool: MetricSpool, was_left: bool) -> "Store":
        return self

    def is_reachable(self) -> bool:
        return self.is_there

    def send(self, entries: Sequence[Entry]) -> None:
        error = self.problem(entries)
        if entries[0]["kind"] == "unreadable":
            error = ValueError("its line in the file is damaged")
        if error:
            raise error
        self.requests.append(list(entries))
        self.taken += entries

    def is_final(self, error: Exception) -> bool:
        if isinstance(error, RunDeletedError):
            raise error
        return isinstance(error, ValueError)

    def steps(self) -> list[int]:
        return [entry["step"] for entry in self.taken if entry["kind"] == "metrics"]


def number(step: int, **values: float) -> Entry:
    return {"kind": "metrics", "time_ms": 1, "step": step, "values": values or {"loss": 1.0}}


@pytest.fixture
def told():
    return []


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Nobody waits as long as for a server."""
    monkeypatch.setattr("olivine.tracking.spool_writer.FIRST_RETRY_S", 0.02)
    monkeypatch.setattr("olivine.tracking.spool_writer.LONGEST_RETRY_S", 0.1)


def opened(tmp_path, store: Store, told: list[str], run_id: str = "run"):
    spool = MetricSpool.create(tmp_path, run_id, {"name": run_id})
    return spool, SpoolWriter(spool, store.sender_of, told.append)


def test_everything_is_sent_in_order_and_the_file_goes(tmp_path, told):
    store = Store()
    spool, writer = opened(tmp_path, store, told)
    for step in range(2500):
        spool.append(number(step))
    spool.append({"kind": "end"})
    assert writer.close(30.0) == ""
    assert store.steps() == list(range(2500))
    assert store.taken[-1] == {"kind": "end"}
    assert max(len(request) for request in store.requests) <= 800
    assert not left_behind(tmp_path)


def test_a_store_that_is_away_is_waited_for_and_then_left(tmp_path, told):
    store = Store()
    store.is_there = False
    spool, writer = opened(tmp_path, store, told)
    spool.append(number(0))
    before_s = time.monotonic()
    assert writer.close(0.5) == "the run store does not answer"
    assert time.monotonic() - before_s < 2
    assert len(left_behind(tmp_path)) == 1
    store.is_there = True  # the process lives: its thread goes on
    until_s = time.monotonic() + 10
    while left_behind(tmp_path) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert store.steps() == [0]
    assert not left_behind(tmp_path)


def test_a_slow_store_does_not_hold_up_the_one_who_writes(tmp_path, told):
    store, going_on = Store(), threading.Event()
    store.problem = lambda entries: going_on.wait(30) and None
    spool, writer = opened(tmp_path, store, told)
    spool.append(number(0))
    assert writer.close(0.2) == "it is slow"
    going_on.set()
    assert writer.close(10.0) == ""


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_only_the_values_that_are_refused_are_put_aside(tmp_path_factory, data):
    names = data.draw(st.lists(st.sampled_from(["good", "fine", "bad"]), min_size=1, max_size=12))
    folder, store, told = tmp_path_factory.mktemp("refused"), Store(), list[str]()
    store.problem = lambda entries: (
        ValueError("no such name") if any("bad" in entry["values"] for entry in entries) else None
    )
    spool, writer = opened(folder, store, told)
    for step, name in enumerate(names):
        spool.append(number(step, **{name: 1.0, f"{name} too": 2.0}))
    assert writer.close(10.0) == ""
    taken = [(entry["step"], name) for entry in store.taken for name in entry["values"]]
    asked = [(step, n) for step, name in enumerate(names) for n in (name, f"{name} too")]
    assert taken == [one for one in asked if one[1] != "bad"]
    assert len(told) == names.count("bad")
    assert all("refused an entry (no such name)" in text for text in told)


def test_a_run_that_was_deleted_ends_its_writer_and_not_the_work(tmp_path, told):
    store = Store()
    store.problem = lambda entries: RunDeletedError("The run was deleted.")
    spool, writer = opened(tmp_path, store, told)
    spool.append(number(0))
    until_s = time.monotonic() + 10
    while left_behind(tmp_path) and time.monotonic() < until_s:
        time.sleep(0.02)
    spool.append(number(1))
    spool.sync()
    assert writer.close(10.0) == "The run was deleted."
    (kept,) = tmp_path.glob(f"*{REFUSED}")
    assert kept.read_bytes().count(b'"step"') == 2


def test_an_upload_that_fails_stops_nothing_and_is_tried_by_the_next_start(tmp_path, told):
    store = Store()
    store.problem = lambda entries: (
        PermissionError("not yours") if entries[0]["kind"] == "file" else None
    )
    spool, writer = opened(tmp_path, store, told)
    spool.append(number(0))
    spool.append({"kind": "file", "name": spool.add_text("a", "text"), "folder": ""})
    spool.append(number(1))
    spool.append({"kind": "end"})
    before_s = time.monotonic()
    assert writer.close(300.0) == "not yours"
    assert time.monotonic() - before_s < 100, "trying on would not help"
    assert store.steps() == [0, 1]
    assert store.taken[-1] == {"kind": "end"}
    send_left_behind(tmp_path, store.sender_of, 5.0, told.append)
    assert len(left_behind(tmp_path)) == 1
    store.problem = lambda entries: None
    send_left_behind(tmp_path, store.sender_of, 5.0, told.append)
    assert store.taken[-1]["kind"] == "file"
    assert not left_behind(tmp_path)


def test_the_next_opening_delivers_first_what_the_one_before_left(tmp_path, told):
    for start in (0, 10):
        killed = MetricSpool.create(tmp_path, "run", {"name": "run"})
        for step in range(start, start + 5):
            killed.append(number(step))
        killed.close()
    store = Store()
    spool, writer = opened(tmp_path, store, told)
    spool.append(number(20))
    assert writer.close(10.0) == ""
    assert store.steps() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20]
    assert not left_behind(tmp_path)


def test_what_other_runs_left_is_sent_by_any_start(tmp_path, told, monkeypatch):
    monkeypatch.setattr("olivine.tracking.spool_writer.LOOK_AROUND_S", 0.0)
    killed = MetricSpool.create(tmp_path, "other", {"name": "other"})
    killed.append(number(7))
    killed.close()
    store = Store()
    _, writer = opened(tmp_path, store, told)
    until_s = time.monotonic() + 10
    while len(left_behind(tmp_path)) > 1 and time.monotonic() < until_s:
        time.sleep(0.02)
    assert store.steps() == [7]
    assert writer.close(10.0) == ""


def test_a_start_logs_what_it_sent_and_what_it_could_not(tmp_path, told):
    store = Store()
    for run_id in ("a", "b"):
        killed = MetricSpool.create(tmp_path, run_id, {"name": run_id})
        killed.append(number(1))
        killed.close()
    store.is_there = False
    send_left_behind(tmp_path, store.sender_of, 5.0, told.append)
    assert told == [
        f"Metrics of earlier runs stay in {tmp_path}: they cannot be sent yet "
        "(the run store does not answer)."
    ]
    store.is_there = True
    send_left_behind(tmp_path, store.sender_of, 5.0, told.append)
    assert told[1:] == [f"Sent the metrics of 2 earlier starts of runs, which were in {tmp_path}."]
    assert store.steps() == [1, 1]


def test_damaged_files_of_other_starts_do_not_stop_the_rest(tmp_path, told):
    store = Store()
    for run_id in ("a", "b", "c", "d"):
        killed = MetricSpool.create(tmp_path, run_id, {"name": run_id})
        for step in (1, 2):
            killed.append(number(step))
        killed.close()
    empty, header, entry, _ = left_behind(tmp_path)
    empty.write_bytes(b"")
    header.write_bytes(header.read_bytes().replace(b'"name"', b'"nome"'))
    entry.write_bytes(entry.read_bytes().replace(b'"step":1', b'"step":7'))
    send_left_behind(tmp_path, store.sender_of, 5.0, told.append)
    assert store.steps() == [2, 1, 2]
    assert left_behind(tmp_path) == []
    assert entry.with_suffix(REFUSED).exists()
    assert any("its line in the file is damaged" in line for line in told)
