"""Standard output and error that survive the end of their reader.

`olivine pretrain … | head -1` closes the pipe after one line. Later output is then dropped, and the
program goes on.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class SteadyStream:
    """A text stream that drops its output once the reader has closed the pipe."""

    def __init__(self, stream: Any):
        self._stream, self._broken = stream, False

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        if not self._broken:
            try:
                self._stream.write(text)
            except BrokenPipeError:
                self._leave()
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if not self._broken:
            try:
                self._stream.flush()
            except BrokenPipeError:
                self._leave()

    def _leave(self) -> None:
        """Redirect the file to the null device, so that Python's last flush raises no error."""
        self._broken = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Send to standard error what the block prints; standard output is for a command's result.

    A user's code that is imported or called for its settings runs in such a block: its prints
    would otherwise be a part of `--json` and of `olivine show … > mine.yaml`.
    """
    with contextlib.redirect_stdout(sys.stderr):
        yield


def steady_streams() -> None:
    """Wrap standard output and error of this process; a second call changes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, SteadyStream):
            setattr(sys, name, SteadyStream(stream))
