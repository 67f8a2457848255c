"""An S3 server of our own, and what points pyarrow at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from olivine.core.storage import Store

BUCKET = "lab-bucket"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server with one empty bucket and name it in the environment; yield its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        patch.delenv("AWS_PROFILE", raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with urlopen(Request(f"{address}/{BUCKET}", method="PUT", headers=_SIGNED)):
            pass
        try:
            yield address
        finally:
            server.stop()


_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}


def copy_to_bucket(folder: Path, uri: str) -> None:
    """Upload every file below a folder."""
    store = Store(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())


def bucket_files(uri: str) -> dict[str, bytes]:
    """Return every file's bytes by its name below a URI."""
    store = Store(uri)
    return {name: store.read(name) for name in sorted(store.names())}
