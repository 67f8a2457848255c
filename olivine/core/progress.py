"""How far a long piece of work is: rate and time left, on standard error."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

QUIET_S = 5.0  # work shorter than this says nothing
PERIOD_S = 5.0
SILENCE_S = 300.0  # without any progress: something may hang

Report = Callable[[int, int], None]  # done, total


class Progress:
    """Prints a line every few seconds once the work has taken five.

    On a terminal the line is rewritten; in a file or a job's log each is a line of its own.
    `more` returns what else belongs into the line, such as the cost so far.
    """

    def __init__(self, label: str, unit: str, more: Callable[[], str] = str):
        self.label, self.unit, self.more = label, unit, more
        self._start = self._last = time.monotonic()
        self._first: int | None = None

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
        left = f"{span((total - done) / rate)} left" if rate > 0 and not finished else ""
        text = f"{self.label}: {done}/{total} {self.unit}, {rate:.3g}/s"
        self._show(", ".join(part for part in (text, left, self.more()) if part), finished)

    def _show(self, text: str, finished: bool) -> None:
        if sys.stderr.isatty():
            end = "\n" if finished else ""
            sys.stderr.write(f"\r\x1b[K{text}{end}")
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()


class Silence:
    """Says so, from a thread of its own, when nothing was heard for `longest_s`.

    A context manager; it speaks again only after something was heard in between.
    """

    def __init__(self, text: str, longest_s: float = SILENCE_S):
        self._text, self._longest_s = text, longest_s
        self._event = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def heard(self) -> None:
        """Note that something happened."""
        self._event.set()

    def __enter__(self) -> "Silence":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        self._event.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._ended:
            if not self._event.wait(self._longest_s):
                sys.stderr.write(self._text + "\n")
                sys.stderr.flush()
                self._event.wait()
            self._event.clear()


def span(seconds: float) -> str:
    """Return a length of time as people say it: 42 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def cost_text(gpu_hours: float, usd_per_gpu_hour: float) -> str:
    """Return GPU-hours, and what they cost if the price is known."""
    hours = f"{gpu_hours:.3g} GPU-hours"
    return f"{hours}, {gpu_hours * usd_per_gpu_hour:.2f} USD" if usd_per_gpu_hour else hours
