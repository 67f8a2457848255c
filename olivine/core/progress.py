"""Progress of long work on standard error: its rate and the time left."""

import atexit
import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress

QUIET_S = 5.0  # shorter work shows nothing
PERIOD_S = 5.0  # between two lines in a file or a job's log
DRAWN_EVERY_S = 0.2  # between two drawings of a bar on a terminal
SILENCE_S = 300.0  # without any progress, something may hang

Report = Callable[[int, int], None]  # done, total
log = logging.getLogger("olivine")


class Progress:
    """Shows the progress of work that takes longer than five seconds.

    It draws a bar on a terminal, and writes a line every few seconds into a file or a job's log.
    `more` returns further text for the line, such as the cost so far. Nothing is shown if the
    logger "olivine" shows only warnings.
    """

    def __init__(self, label: str, unit: str, more: Callable[[], str] = str):
        self.label, self.unit, self.more = label, unit, more
        self._start = self._last = time.monotonic()
        self._first: int | None = None
        self._drawn: tuple[rich.progress.Progress, rich.progress.TaskID] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` units are done, if a new line is due."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._start = done, now if done else self._start
        finished, terminal = done >= total, sys.stderr.isatty()
        period_s = DRAWN_EVERY_S if terminal else PERIOD_S
        if now - self._start < QUIET_S or (now - self._last < period_s and not finished):
            return
        if log.level > logging.INFO:
            return
        self._last = now
        rate = (done - self._first) / (now - self._start)
        left = f"{span((total - done) / rate)} left" if rate > 0 and not finished else ""
        parts = [f"{rate:.3g}/s", *filter(None, (left, self.more()))]
        if terminal:
            self._draw(done, total, ", ".join(parts))
        else:
            text = ", ".join([f"{self.label}: {done}/{total} {self.unit}", *parts])
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def _draw(self, done: int, total: int, rest: str) -> None:
        bars = _bars()
        if self._drawn is None or self._drawn[0] is not bars:
            bars.start()
            task = bars.add_task(self.label, total=total, unit=self.unit, rest=rest)
            self._drawn = bars, task
        bars.update(self._drawn[1], completed=done, total=total, rest=rest)
        bars.refresh()
        if all(task.finished for task in bars.tasks):
            end_bars()


@functools.cache
def _bars() -> "rich.progress.Progress":
    """Return the display of all progress bars in this process."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    atexit.register(end_bars)  # the display hides the cursor; its end shows it again
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}, {task.fields[rest]}"),
        console=Console(stderr=True),
        auto_refresh=False,
    )


def end_bars() -> None:
    """End the display; the bars stay on the terminal as they are."""
    if _bars.cache_info().currsize:
        _bars().stop()
        _bars.cache_clear()


class Silence:
    """A context manager that logs `text` as a warning after `longest_s` without a sign of life.

    A separate thread watches. It warns once per silence, and again only after a call of `reset`.
    """

    def __init__(self, text: str, longest_s: float = SILENCE_S):
        self._text, self._longest_s = text, longest_s
        self._event = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def reset(self) -> None:
        """Record a sign of life; the silence begins anew."""
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
                log.warning(self._text)
                self._event.wait()
            self._event.clear()


def span(seconds: float) -> str:
    """Return a duration in the unit that suits its length: 42 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def cost_text(gpu_hours: float, usd_per_gpu_hour: float) -> str:
    """Return GPU-hours as text, with their cost if a price is given (0: none)."""
    hours = f"{gpu_hours:.3g} GPU-hours"
    return f"{hours}, {gpu_hours * usd_per_gpu_hour:.2f} USD" if usd_per_gpu_hour else hours
