"""Where things lie, and that no password is shown."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.tracking import store_uri as run_store
from olivine.tracking.store_uri import (
    artifact_folder,
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
