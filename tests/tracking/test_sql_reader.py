"""Tables read as MLflow's client reads them, and the client where they cannot be."""

import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olivine.tracking.mlflow_backend.client import ClientReader
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.sql_reader import Query, SqlReader, UnreadableError, last_by_step, readable
from olivine.tracking.tracker import RunKey
from tests.support.run_stores.run_readers import Settings, both_read_the_same


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return MlflowTracker(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db", "questions")


def test_tables_and_client_tell_the_same(tracker):
    both_read_the_same(tracker, SqlReader(tracker.uri), ClientReader(tracker.uri))


def test_a_store_without_our_tables_is_unreadable_and_not_made(tmp_path):
    reader = SqlReader(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(UnreadableError, match="there is no"):
        reader.records(Query())
    assert not reader.has_tables()
    assert not list(tmp_path.iterdir())
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE runs (number INTEGER)").close()
    assert not SqlReader(f"sqlite:///{tmp_path}/other.db").has_tables()
    assert not SqlReader("postgresql+nodriver://nobody@127.0.0.1/none").has_tables()


def test_tables_of_another_mlflow_are_left_to_its_client(tracker, monkeypatch):
    with tracker.run(RunKey("trial", "other"), "other", Settings()):
        pass
    monkeypatch.setattr("olivine.tracking.sql_reader.PARAMS", _renamed("parameters"))
    with pytest.raises(UnreadableError, match="no such table: parameters"):
        SqlReader(tracker.uri).records(Query())
    assert tracker.finished(RunKey("trial", "other")).settings == {"seed": "0", "rate": "0.0001"}


def _renamed(name: str):
    import sqlalchemy as sa

    return sa.table(name, *map(sa.column, ("run_uuid", "key", "value")))


@given(st.floats(allow_nan=False))
def test_what_a_database_holds_is_what_was_logged(value):
    held = math.copysign(1.7976931348623157e308, value) if math.isinf(value) else value
    assert readable(held) == value or abs(value) == 1.7976931348623157e308


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.floats(0, 1)), unique_by=id))
def test_of_a_step_logged_twice_the_later_counts(points):
    latest = {}
    for step, time_ms, value in points:
        if step not in latest or time_ms >= latest[step][0]:
            latest[step] = (time_ms, value)
    assert last_by_step(points) == {step: latest[step][1] for step in sorted(latest)}
