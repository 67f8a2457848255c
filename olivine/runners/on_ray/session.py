"""Ray's start: the named cluster, the cluster that this job runs in, or a Ray of this machine."""

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import ray

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime

KNOCK_S = 10.0
LONGEST_SOCKET = 107  # characters of an AF_UNIX path on Linux
STATE_API = "RAY_API_SERVER_ADDRESS"  # the variable in which Ray looks for its address first
SESSION_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store_12345"


@contextlib.contextmanager
def ray_session(
    runtime: Runtime, *, include_dashboard: bool = False, log_to_driver: bool = False
) -> Iterator[None]:
    """Connect to Ray within the block.

    A connected Ray is used and left alone. A cluster named by `runtime.ray_address` or RAY_ADDRESS
    (which Ray sets in a job) is joined and left running. Otherwise a Ray of this machine starts and
    ends with the block. `include_dashboard` also starts the State API, which Ray Tune needs to free
    the resources of a stopped Ray Train. Raises UserError if the named cluster does not answer or
    refuses the token.
    """
    if ray.is_initialized():
        yield
        return
    address = runtime.ray_address or os.environ.get("RAY_ADDRESS", "")
    quiet = {"log_to_driver": log_to_driver, "logging_level": "warning"}
    if address and address != "local":
        _join(address, quiet)
    else:
        _own_token(runtime.cache_path())
        _start_own(include_dashboard, quiet)
    try:
        yield
    finally:
        ray.shutdown()  # ends a Ray that was started here; a joined cluster goes on


def _start_own(include_dashboard: bool, quiet: dict[str, object]) -> None:
    """Start a Ray on this machine whose processes find its own State API, not another Ray's."""
    before, dashboard = os.environ.get(STATE_API), dict[str, object]()
    if include_dashboard:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            dashboard = {"dashboard_host": "127.0.0.1", "dashboard_port": free.getsockname()[1]}
        os.environ[STATE_API] = f"http://127.0.0.1:{dashboard['dashboard_port']}"
    try:
        ray.init(
            address="local",
            include_dashboard=include_dashboard,
            _temp_dir=_short_folder(),
            **dashboard,
            **quiet,
        )
    finally:  # only its processes need it; this one uses the connected Ray
        if include_dashboard:
            os.environ.pop(STATE_API)
        if before is not None:
            os.environ[STATE_API] = before


def _join(address: str, quiet: dict[str, object]) -> None:
    try:
        _knock(address)
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(
            f"Cannot join the Ray cluster at {address!r} ({' '.join(str(error).split())[:300]}); "
            "check runtime.ray_address (or RAY_ADDRESS) and the token (RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH), or leave the address empty for a Ray of this machine."
        ) from None


def _knock(address: str) -> None:
    """Raise OSError at once if no server listens there; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


def _own_token(folder: Path) -> None:
    """Give a Ray of this machine a token that only this user can read.

    The file that Ray itself would write is readable by all.
    """
    configured = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or configured:
        return
    if (Path.home() / ".ray" / "auth_token").exists():
        return
    path = folder / "ray_auth_token"
    folder.mkdir(parents=True, exist_ok=True)
    # The first process makes it, with its mode from the start.
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


def _short_folder() -> str | None:
    """Return the default folder if TMPDIR or RAY_TMPDIR is too long for Ray's sockets."""
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(chosen + SESSION_SOCKET) <= LONGEST_SOCKET:
        return None
    return "/tmp/ray"
