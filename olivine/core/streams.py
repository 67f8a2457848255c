"""Standard output and error that outlive their reader.

`olivine pretrain … | head -1` closes the pipe after a line. What is written then goes nowhere, and
the work that wrote it goes on.
"""

import os
import sys
from typing import Any


class SteadyStream:
    """A text stream that drops what is written once nobody reads it."""

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
        """Hand on what was written."""
        if not self._broken:
            try:
                self._stream.flush()
            except BrokenPipeError:
                self._leave()

    def _leave(self) -> None:
        """Point the file at nothing, so that Python's own flush at its end finds a reader."""
        self._broken = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def steady_streams() -> None:
    """Make standard output and error of this process steady; once is enough."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, SteadyStream):
            setattr(sys, name, SteadyStream(stream))
