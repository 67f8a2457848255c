"""How far a long piece of work is: rate and time left, on standard error."""

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

QUIET_S = 5.0  # work shorter than this says nothing
PERIOD_S = 5.0  # between two lines in a file or a job's log
DRAWN_EVERY_S = 0.2  # on a terminal
SILENCE_S = 300.0  # without any progress: something may hang

Report = Callable[[int, int], None]  # done, total
log = logging.getLogger("olivine")


class Progress:
    """Shows how far work is once it has taken five seconds.

    On a terminal a bar is drawn; in a file or a job's log a line is written every few seconds.
    `more` returns what else belongs there, such as the cost so far. Nothing is shown where the
    logger "olivine" is set to show warnings alone.
    """

    def __init__(self, label: str, unit: str, more: Callable[[], str] = str):
        self.label, self.unit, self.more = label, unit, more
        self._start = self._last = time.monotonic()
        self._first: int | None = None
        self._drawn: tuple[rich.progress.Progress, rich.progress.TaskID] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` units are done."""
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
    """Return the bars of all work that goes on in this process."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    atexit.register(end_bars)  # it shows the cursor again
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}, {task.fields[rest]}"),
        console=Console(stderr=True),
        auto_refresh=False,
    )


def end_bars() -> None:
    """Leave the bars as they are and give the terminal back."""
    if _bars.cache_info().currsize:
        _bars().stop()
        _bars.cache_clear()


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
                log.warning(self._text)
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
