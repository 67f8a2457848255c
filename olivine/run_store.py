"""Where the store of runs lies: a SQLite file made by one process, or a server that answers."""

import contextlib
import fcntl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from olivine.errors import UserError

SERVER_TIMEOUT_S = 10.0


def ask_server(uri: str) -> None:
    """Raise UserError at once if nobody answers; MLflow itself would try for two minutes."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_TIMEOUT_S):
            return
    except urllib.error.HTTPError:
        return  # somebody answers; MLflow says better than we what they want
    except (OSError, ValueError) as error:
        raise UserError(
            f"No MLflow server answers at {uri} ({one_line(error)}); start it with "
            "`mlflow server`, or leave tracking_uri empty for a SQLite file."
        ) from None


@contextlib.contextmanager
def sqlite_lock(uri: str) -> Iterator[Path | None]:
    """Let one process at a time make the tables: MLflow's migration fails when two run it.

    Yields the database's path, or None for a server.
    """
    path = _sqlite_path(uri)
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def _sqlite_path(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:") else None


def artifact_folder(uri: str, experiment: str) -> str | None:
    """Return a folder beside the database; MLflow's own default is the working directory."""
    path = _sqlite_path(uri)
    return None if path is None else (path.parent / "artifacts" / experiment).as_uri()


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
