"""The URI of the run store: a SQLite file made by one process, a database, or a server."""

import contextlib
import fcntl
import re
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.hashing import text_hash

SERVER_TIMEOUT_S = 10.0
NUM_TRIES, HUNG_UP_S = 4, 1.0  # of a server that resets the connection; seconds in between
UNDELIVERED = "undelivered"  # folder of spools, whose entries a store has not received yet


def is_server(uri: str) -> bool:
    """Return whether a store is a server that speaks MLflow's own protocol."""
    return uri.startswith(("http://", "https://"))


def is_database(uri: str) -> bool:
    """Return whether a store is a database that this process opens directly."""
    return uri.startswith(("sqlite:///", "postgresql", "mysql"))


def without_password(uri: str) -> str:
    """Return the URI without its password, for messages and files."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", uri)


def spool_folder(uri: str, cache: Path) -> Path:
    """Return the local folder of a store's spools.

    It is beside a SQLite file, where every process that opens the store finds it, and in `cache`
    for any other store.
    """
    path = sqlite_path(uri)
    if path is not None:
        return path.parent / UNDELIVERED / path.name
    return cache / UNDELIVERED / text_hash(without_password(uri))


def require_server(uri: str) -> None:
    """Raise UserError at once if no server answers; MLflow itself would try for four minutes.

    A server that resets the connection is tried again, because a busy one replaces slow workers.
    """
    for tries_left in reversed(range(NUM_TRIES)):
        try:
            with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_TIMEOUT_S):
                return
        except urllib.error.HTTPError:
            return  # a server answers; MLflow reports its own errors better
        except (OSError, ValueError) as error:
            if isinstance(error, ConnectionResetError) and tries_left:
                time.sleep(HUNG_UP_S)
                continue
            raise UserError(
                f"No MLflow server answers at {without_password(uri)} ({one_line(error)}); "
                "start it with `mlflow server`, or leave tracking_uri empty for a SQLite file."
            ) from None


@contextlib.contextmanager
def sqlite_lock(uri: str) -> Iterator[Path | None]:
    """Lock a SQLite file while its tables are made: MLflow's migration fails when two run it.

    Yields the database's path, or None for another store.
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
    """Return the file of a SQLite store, or None for another store."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:") else None


def require_database(path: Path) -> None:
    """Raise UserError at once if SQLite cannot read a file; MLflow would try for minutes.

    A file that is locked by another process can be read later, so it passes.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.as_uri()}?mode=rw", timeout=0, uri=True)
        ) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        if "locked" in str(error):
            return
        reason = "it is a folder" if path.is_dir() else one_line(error)
        raise UserError(
            f"Cannot open the run store sqlite:///{path}: {reason}; move it away, or name another "
            "by --set runtime.tracking_uri=sqlite:////PATH/mlflow.db."
        ) from None


def artifact_folder(uri: str, experiment: str, root: str = "") -> str | None:
    """Return the URI of an experiment's files, or None if a server decides it.

    The files of a SQLite store are beside the database, those of another database below `root`, a
    folder or a bucket. MLflow's own default is the working directory. Raises UserError if `root`
    is needed and empty.
    """
    path = sqlite_path(uri)
    if path is not None:
        return (path.parent / "artifacts" / experiment).as_uri()
    if not is_database(uri):
        return None
    if not root:
        raise UserError(
            f"The run store {without_password(uri)} has no folder for files; start "
            "`mlflow server` on that database and set tracking_uri to the server."
        )
    return f"{root.rstrip('/')}/{experiment}" if "://" in root else Path(root, experiment).as_uri()


def one_line(error: BaseException) -> str:
    """Return an error's message on one line of at most 300 characters.

    SQLAlchemy's remarks, the statement and the page about the error, are left out.
    """
    text, *_ = re.split(r"\s*(?:\[SQL: |\(Background on this error at: )", str(error), maxsplit=1)
    return " ".join(text.split())[:300]
