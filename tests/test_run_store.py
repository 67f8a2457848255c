"""Where things lie, and that no password is shown."""

from pathlib import Path

import pytest

from olivine.errors import UserError
from olivine.run_store import artifact_folder, outbox_folder, shown


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("postgresql://lab:secret@db.lab:5432/runs", "postgresql://lab:***@db.lab:5432/runs"),
        ("https://me:p4ss:word@mlflow.lab", "https://me:***@mlflow.lab"),
        ("http://mlflow.lab:5000", "http://mlflow.lab:5000"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
    ],
)
def test_a_password_is_not_shown(uri, told):
    assert shown(uri) == told


def test_what_waits_lies_beside_a_file_and_in_the_cache_for_the_rest(tmp_path):
    cache = tmp_path / "cache"
    here = outbox_folder(f"sqlite:///{tmp_path}/runs/mlflow.db", cache)
    assert here == tmp_path / "runs/undelivered/mlflow.db"
    first = outbox_folder("postgresql://lab:old@db/runs", cache)
    assert first == outbox_folder("postgresql://lab:new@db/runs", cache), "whatever the password"
    assert first != outbox_folder("postgresql://lab:old@db/others", cache)
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
