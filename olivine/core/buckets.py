"""Connections to S3 and Google Cloud Storage, and their errors as sentences.

Credentials come from the sources that each cloud's own tools use: AWS_ACCESS_KEY_ID, AWS_PROFILE or
the machine's role; GOOGLE_APPLICATION_CREDENTIALS or the machine's account. AWS_ENDPOINT_URL names
another server that speaks S3 (MinIO, Ceph).
"""

import os
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from olivine.core.errors import UserError

SCHEMES = ("file", "gs", "s3")
CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 30.0  # without a byte received
NUM_ATTEMPTS = 3  # with pauses of up to a second or two between them
GCS_RETRY_S = 10.0  # pyarrow's default is 15 minutes

# Parts of a cloud's message, and the advice that fits them.
_ADVICE = (
    (("NO_SUCH_BUCKET", "bucket does not exist"), "create the bucket or correct its name"),
    (
        (
            "ACCESS_DENIED",
            "access token",  # Google's message where it finds no credentials
            "ACCESS_KEY",
            "AccessKey",
            "CLIENT_TOKEN",
            "SIGNATURE",
            "status 403",
            "status 401",
            "UNAUTHENTICATED",
            "ermission denied",
        ),
        "check the credentials ({credentials}) and what they allow",
    ),
    (
        ("NETWORK_CONNECTION", "onnect", "resolve", "UNAVAILABLE", "timed out", "imeout"),
        "no server answers{endpoint}: check the network and the address",
    ),
)
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}


def is_bucket(path: object) -> bool:
    """Return whether a path or URI names a bucket; file:// and local paths do not."""
    return "://" in str(path) and not str(path).startswith("file://")


def check_uri(uri: str) -> None:
    """Raise UserError for a URI that is not a readable bucket's; no request is made."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise UserError(
            f"Cannot open {uri}: its kind must be a path, s3://bucket/prefix or gs://bucket/prefix."
        )
    if parts.query or parts.fragment:
        raise UserError(
            f"Cannot open {uri}: a bucket's URI ends with its prefix; name another server by the "
            "variable AWS_ENDPOINT_URL, not behind a '?'."
        )
    if parts.scheme != "file" and not parts.netloc:
        raise UserError(f"Cannot open {uri}: it names no bucket; write {parts.scheme}://BUCKET.")


def connect(uri: str) -> tuple[Any, str]:
    """Return a pyarrow file system and the path in it of a checked URI; this may send a request."""
    from pyarrow import fs

    parts = urlsplit(uri)
    base = f"{parts.netloc}{parts.path}".rstrip("/")
    if parts.scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=GCS_RETRY_S)), base
    endpoint = _endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(parts.netloc)
    files = fs.S3FileSystem(
        region=region,
        endpoint_override=endpoint or None,
        allow_delayed_open=True,  # a small file is one request, not three
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=REQUEST_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=NUM_ATTEMPTS),
    )
    return files, base


def explain_bucket_error(error: Exception, uri: str) -> str:
    """Return a cloud's error on one line, with advice if the cause is known."""
    text = " ".join(str(error).split()).rstrip(".")
    scheme = urlsplit(uri).scheme
    endpoint = f" at {_endpoint()}" if scheme == "s3" and _endpoint() else ""
    for signs, advice in _ADVICE:
        if any(sign in text for sign in signs):
            sentence = advice.format(credentials=_CREDENTIALS.get(scheme, ""), endpoint=endpoint)
            return f"{sentence} ({text})"
    return text


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
