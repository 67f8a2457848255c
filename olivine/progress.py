"""How far a long piece of work is: rate and time left, on standard error."""

import sys
import time
from collections.abc import Callable

QUIET_S = 5.0  # work shorter than this says nothing
PERIOD_S = 5.0

Report = Callable[[int, int], None]  # done, total


class Progress:
    """Prints a line every few seconds once the work has taken five.

    On a terminal the line is rewritten; in a file or a job's log each is a line of its own.
    """

    def __init__(self, label: str, unit: str):
        self.label, self.unit = label, unit
        self._start = self._last = time.monotonic()
        self._first: int | None = None
        self._open_line = False

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` units are done."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._start = done, now if done else self._start
        finished = done >= total
        if now - self._start < QUIET_S or (now - self._last < PERIOD_S and not finished):
            return
        self._last = now
        rate = (done - self._first) / (now - self._start)
        left = f"{(total - done) / rate:.0f} s left" if rate > 0 and not finished else ""
        text = f"{self.label}: {done}/{total} {self.unit}, {rate:.3g}/s"
        self._show(f"{text}, {left}" if left else text, finished)

    def _show(self, text: str, finished: bool) -> None:
        if sys.stderr.isatty():
            end = "\n" if finished else ""
            sys.stderr.write(f"\r\x1b[K{text}{end}")
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
