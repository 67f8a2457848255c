"""A tracking server of our own, as a lab runs it: a process that can be stopped and come back."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from olivine.core.errors import UserError
from olivine.tracking.store_uri import ask_server

START_S = 240.0  # a busy machine takes long to import MLflow


class Server:
    """`mlflow server` on a port of this machine, its database below a folder or named."""

    def __init__(self, folder: Path, database: str = "", workers: int = 1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.database = database or f"sqlite:///{folder}/server.db"
        self._folder, self._workers = folder, workers
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Return once it answers."""
        words = (
            "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.port,
            "--backend-store-uri", self.database, "--workers", self._workers,
            "--artifacts-destination", f"{self._folder}/artifacts",
            # A busy machine's workers are no dead ones: they would be replaced after 5 s.
            "--uvicorn-opts", "--timeout-worker-healthcheck 240",
        )  # fmt: skip
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, *map(str, words)],
                cwd=self._folder,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s and self._process.poll() is None:
            with contextlib.suppress(UserError):
                ask_server(self.uri)
                return
            time.sleep(0.1)
        raise RuntimeError((self._folder / "server.log").read_text()[-2000:])

    def signal(self, number: int) -> None:
        """Send a signal to it and its workers."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def mlflow_server(folder: Path, database: str = "", workers: int = 1) -> Iterator[Server]:
    """Yield a server that answers; end it afterwards."""
    server = Server(folder, database, workers)
    try:
        server.start()
        yield server
    finally:
        server.kill()
