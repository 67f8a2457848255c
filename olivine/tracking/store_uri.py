"""Where the store of runs lies: a SQLite file made by one process, or a server that answers."""

import contextlib
import fcntl
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.hashing import text_hash

SERVER_TIMEOUT_S = 10.0
NUM_TRIES, HUNG_UP_S = 4, 1.0  # where a server hangs up; seconds in between
UNDELIVERED = "undelivered"  # folder of what a store has not taken yet


def is_server(uri: str) -> bool:
    """Say whether a store is asked over the network by MLflow's own protocol."""
    return uri.startswith(("http://", "https://"))


def is_database(uri: str) -> bool:
    """Say whether a store is a database that this process opens itself."""
    return uri.startswith(("sqlite:///", "postgresql", "mysql"))


def shown(uri: str) -> str:
    """Return the URI without its password, for people and for files."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", uri)


def outbox_folder(uri: str, cache: Path) -> Path:
    """Return the local folder of what a store has not taken yet.

    A SQLite file lies on a local disk, so it is beside it: whoever opens the store finds it. That
    of any other store is in the cache.
    """
    path = sqlite_path(uri)
    if path is not None:
        return path.parent / UNDELIVERED / path.name
    return cache / UNDELIVERED / text_hash(shown(uri))


def ask_server(uri: str) -> None:
    """Raise UserError at once if nobody answers; MLflow itself would try for four minutes.

    One that hangs up is asked again: a busy server replaces workers that are slow.
    """
    for tries_left in reversed(range(NUM_TRIES)):
        try:
            with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_TIMEOUT_S):
                return
        except urllib.error.HTTPError:
            return  # somebody answers; MLflow says better than we what they want
        except (OSError, ValueError) as error:
            if isinstance(error, ConnectionResetError) and tries_left:
                time.sleep(HUNG_UP_S)
                continue
            raise UserError(
                f"No MLflow server answers at {shown(uri)} ({one_line(error)}); start it with "
                "`mlflow server`, or leave tracking_uri empty for a SQLite file."
            ) from None


@contextlib.contextmanager
def sqlite_lock(uri: str) -> Iterator[Path | None]:
    """Let one process at a time make the tables: MLflow's migration fails when two run it.

    Yields the database's path, or None for a server.
    """
    path = sqlite_path(uri)
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def sqlite_path(uri: str) -> Path | None:
    """Return the database's file; None for another store."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:") else None


def artifact_folder(uri: str, experiment: str, root: str = "") -> str | None:
    """Return where an experiment's files go, or None if a server knows it.

    Of a SQLite store, beside the database; of another one below `root`, a folder or a bucket.
    MLflow's own default is the working directory. Raises UserError if `root` is needed.
    """
    path = sqlite_path(uri)
    if path is not None:
        return (path.parent / "artifacts" / experiment).as_uri()
    if not is_database(uri):
        return None
    if not root:
        raise UserError(
            f"Nobody said where the files of runs in {shown(uri)} go; start `mlflow server` on "
            "that database and name the server, as tracking_uri."
        )
    return f"{root.rstrip('/')}/{experiment}" if "://" in root else Path(root, experiment).as_uri()


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
