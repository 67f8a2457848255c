"""Where things lie, and that no password is shown."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from olivine.core.errors import UserError
from olivine.tracking import store_uri as run_store
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.store_uri import (
    artifact_folder,
    one_line,
    require_database,
    require_server,
    spool_folder,
    without_password,
)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("postgresql://lab:secret@db.lab:5432/runs", "postgresql://lab:***@db.lab:5432/runs"),
        ("https://me:p4ss:word@mlflow.lab", "https://me:***@mlflow.lab"),
        ("http://mlflow.lab:5000", "http://mlflow.lab:5000"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
    ],
)
def test_a_password_is_not_without_password(uri, told):
    assert without_password(uri) == told


def test_a_path_that_is_no_database_is_told_at_once(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    (tmp_path / "text file?.db").write_text("no database at all" * 100)
    for name, reason in (("mlflow.db", "it is a folder"), ("text file?.db", "file is not a data")):
        with pytest.raises(UserError, match=f"Cannot open the run store .*{reason}"):
            require_database(tmp_path / name)
    start_s = time.monotonic()
    with pytest.raises(UserError, match="it is a folder"):
        open_client(f"sqlite:///{tmp_path}/mlflow.db")
    assert time.monotonic() - start_s < 30, "MLflow itself tries for minutes"


def test_an_empty_and_a_locked_database_pass(tmp_path):
    path = tmp_path / "mlflow.db"
    path.touch()
    require_database(path)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE runs (id)")
        other.execute("BEGIN EXCLUSIVE")
        require_database(path)


def test_only_while_a_file_is_made_sqlite_does_not_wait_for_the_disk(tmp_path):
    def note(connection, cursor, statement, *_):
        _, _, opened = cursor.connection.execute("PRAGMA database_list").fetchone()
        (synchronous,) = cursor.connection.execute("PRAGMA synchronous").fetchone()
        seen.setdefault(Path(opened).name, set()).add(synchronous)

    seen: dict[str, set[int]] = {}
    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        open_client(f"sqlite:///{tmp_path}/mlflow.db")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert seen == {".mlflow.db.new": {0}, "mlflow.db": {2}}  # off, full


def test_an_error_is_told_without_its_statement():
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as caught:
        connection.execute(sa.text("SELECT x FROM no_runs WHERE y = :y"), {"y": 1})
    assert "[SQL: " in str(caught.value)
    assert one_line(caught.value) == "(sqlite3.OperationalError) no such table: no_runs"


def test_what_waits_lies_beside_a_file_and_in_the_cache_for_the_rest(tmp_path):
    cache = tmp_path / "cache"
    here = spool_folder(f"sqlite:///{tmp_path}/runs/mlflow.db", cache)
    assert here == tmp_path / "runs/undelivered/mlflow.db"
    first = spool_folder("postgresql://lab:old@db/runs", cache)
    assert first == spool_folder("postgresql://lab:new@db/runs", cache), "whatever the password"
    assert first != spool_folder("postgresql://lab:old@db/others", cache)
    assert first.is_relative_to(cache)
    assert "old" not in str(first)


def test_files_of_runs_never_go_to_the_working_folder():
    assert artifact_folder("sqlite:////data/mlflow.db", "q") == "file:///data/artifacts/q"
    assert artifact_folder("http://mlflow.lab", "q") is None  # the server knows
    assert artifact_folder("postgresql://db/runs", "q", "s3://lab/runs/") == "s3://lab/runs/q"
    assert artifact_folder("postgresql://db/runs", "q", "/data") == Path("/data/q").as_uri()
    with pytest.raises(UserError, match="start `mlflow server` on that database") as caught:
        artifact_folder("postgresql://lab:secret@db/runs", "q")
    assert "secret" not in str(caught.value)


@contextlib.contextmanager
def server_that_hangs_up(times: int) -> Iterator[str]:
    """Yield the address of a server that hangs up so often before it answers."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) > times:
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_server_that_hangs_up_is_asked_again(monkeypatch):
    monkeypatch.setattr(run_store, "HUNG_UP_S", 0.01)
    with server_that_hangs_up(2) as uri:
        require_server(uri)
    with (
        server_that_hangs_up(100) as uri,
        pytest.raises(UserError, match=r"No MLflow server answers at .* \(Remote end closed"),
    ):
        require_server(uri)
