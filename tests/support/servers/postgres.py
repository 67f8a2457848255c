"""A PostgreSQL of our own, started from the machine's programs in a folder that goes with it."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("initdb", "postgres", "pg_isready")
START_S = 120.0


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Yield the URI of an empty database; skip where its programs or its driver are not there."""
    programs = _programs()
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not installed: pip install psycopg2-binary")
    # PostgreSQL refuses root, and another user cannot look into pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="olivine-postgres-"))
    account = _account()
    as_account = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with (folder / "log").open("w") as log:
        subprocess.run(
            [programs["initdb"], "-D", folder / "data", "-A", "trust", "-U", "olivine", "-N"],
            cwd=folder, stdout=log, stderr=log, check=True, **as_account,
        )  # fmt: skip
        running = subprocess.Popen(
            [
                programs["postgres"], "-D", folder / "data", "-k", folder, "-p", port,
                "-h", "127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200",
            ],
            cwd=folder, stdout=log, stderr=log, **as_account,
        )  # fmt: skip
    try:
        until_s = time.monotonic() + START_S
        ask = [programs["pg_isready"], "-q", "-h", "127.0.0.1", "-p", port]
        while subprocess.run(ask, check=False).returncode:
            if time.monotonic() > until_s or running.poll() is not None:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield f"postgresql+psycopg2://olivine@127.0.0.1:{port}/postgres"
    finally:
        running.send_signal(signal.SIGINT)  # at once, whoever is connected
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> dict[str, Path]:
    folders = [*map(Path, os.get_exec_path()), *Path("/usr/lib/postgresql").glob("*/bin")]
    found = {
        name: folder / name for name in NAMES for folder in folders if (folder / name).exists()
    }
    missing = [name for name in NAMES if name not in found]
    if missing:
        pytest.skip(f"PostgreSQL's {', '.join(missing)} is not here: apt-get install postgresql")
    return found


def _account() -> pwd.struct_passwd | None:
    """Return whose account PostgreSQL runs under, or None for our own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
