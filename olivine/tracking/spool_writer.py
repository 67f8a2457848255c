"""Hands what outboxes hold to the store of runs, from a thread beside the work.

The work only ever writes to a file. The thread takes a few entries at a time, oldest first, and
tries again while the store is slow or away. What a killed process left behind is taken up by the
next one on the same machine. An entry may reach the store twice, when a process dies before it
has noted the answer; senders make that harmless.
"""

import functools
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from olivine.tracking.spool import REFUSED, Entry, MetricSpool, Pending, left_behind
from olivine.tracking.store_uri import one_line

PERIOD_S = 1.0  # between deliveries while a run goes on
LOOK_AROUND_S = 10.0  # between looks for what other runs on this machine left behind
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 5.0
# While the thread computes, the work waits for the interpreter: requests beside it are small, and
# the thread rests after each so long that it has this share of the time.
CPU_SHARE = 0.05
VALUES_BESIDE, VALUES_AFTER = 100, 800  # of metrics in a request: beside the work, and after it
MAX_TEXTS = 100  # of parameters or tags in a request: MLflow takes no more
NUM_TRIES = 3  # of an upload after the work, as long as the store answers

TOGETHER = ("metrics", "params", "tags")  # kinds of entries that share a request
UPLOADS = ("file", "model", "dataset")  # kinds that fail alone and must not stop the others

Say = Callable[[str], None]


class GoneError(Exception):
    """The store has no such run any more; takes one argument, a sentence."""


@runtime_checkable
class Sender(Protocol):
    """Brings the entries of one outbox to a store; each may come twice and must count once."""

    def answers(self) -> bool:
        """Say whether the store can be asked now."""
        ...

    def send(self, entries: Sequence[Entry]) -> None:
        """Deliver entries that share a request, or one of another kind; raise if that failed."""
        ...

    def refuses(self, error: Exception) -> bool:
        """Say whether the store will never take it; raise GoneError if it lacks the run."""
        ...


SenderOf = Callable[[MetricSpool, bool], Sender]  # for an outbox; whether it was left behind


def tell(text: str) -> None:
    """Write a sentence for people to standard error."""
    sys.stderr.write(f"olivine: {text}\n")
    sys.stderr.flush()


class Delivery:
    """Delivers an open outbox, after what earlier openings of the same run left behind."""

    def __init__(self, outbox: MetricSpool, sender_of: SenderOf, say: Say = tell):
        self._outbox, self._sender_of, self._say = outbox, sender_of, say
        earlier = _adopted(outbox.path.parent, outbox.header["run_id"], sender_of, say)
        self._own = [*earlier, _SpoolReader(outbox, sender_of(outbox, False), say)]
        self._others: list[_SpoolReader] = []
        self._looked_around_s = time.monotonic()
        self._problem = ""
        self._closing, self._ended = threading.Event(), threading.Event()
        self._is_awaited = True
        _spare_what_stays()
        threading.Thread(target=self._work, name="olivine delivery", daemon=True).start()

    def close(self, patience_s: float) -> str:
        """Wait until all is delivered; return "", or why it is not.

        The thread goes on trying as long as its process lives; the rest stays on disk.
        """
        self._closing.set()
        if not self._ended.wait(patience_s):
            self._is_awaited = False
            return self._problem or "it is slow"
        self._outbox.close()
        return self._problem

    def _work(self) -> None:
        failures = 0
        while True:
            started_s = time.thread_time()
            at_end = self._closing.is_set()  # asked first: nothing comes after it
            try:
                is_done = self._send_some(at_end)
                failures, self._problem = 0, ""
            except (GoneError, _StuckError) as error:
                self._problem = str(error)
                break
            except Exception as error:  # whatever lies below raises: the store is away
                self._problem = one_line(error)
                failures += 1
                self._wait_for_store(failures)
                continue
            if is_done and at_end:
                break
            spent_s = time.thread_time() - started_s
            self._closing.wait(PERIOD_S if is_done else spent_s * (1 / CPU_SHARE - 1))
        for courier in [*self._own[:-1], *self._others]:
            courier.leave()
        if not self._problem:
            self._outbox.remove()
        self._ended.set()

    def _send_some(self, at_end: bool) -> bool:
        """Make one request; say whether there was nothing left to deliver."""
        while len(self._own) > 1:  # of this run, in the order in which it was said
            if self._own[0].send_some(at_end):
                return False
            self._own.pop(0).leave()
        if self._own[0].send_some(at_end):
            return False
        return at_end or not self._send_for_others()

    def _send_for_others(self) -> bool:
        """Make one request of what other runs left behind; say whether there was any."""
        if not self._others and time.monotonic() - self._looked_around_s > LOOK_AROUND_S:
            self._looked_around_s = time.monotonic()
            folder = self._outbox.path.parent
            self._others = list(_adopted(folder, "*", self._sender_of, self._say))
        while self._others:
            try:
                if self._others[0].send_some(at_end=False):
                    return True
            except GoneError as error:
                self._say(str(error))
            self._others.pop(0).leave()
        return False

    def _wait_for_store(self, failures: int) -> None:
        if not self._closing.is_set():
            self._closing.wait(min(FIRST_RETRY_S * 2**failures, LONGEST_RETRY_S))
        else:
            time.sleep(FIRST_RETRY_S if self._is_awaited else LONGEST_RETRY_S)


def send_left_behind(folder: Path, sender_of: SenderOf, patience_s: float, say: Say = tell) -> None:
    """Deliver what dead processes on this machine left behind; what cannot be stays on disk."""
    until_s, num_sent, problem = time.monotonic() + patience_s, 0, ""
    for courier in _adopted(folder, "*", sender_of, say):
        was_done = courier.is_done
        try:
            while not problem and time.monotonic() < until_s and courier.send_some(True):
                pass
            num_sent += courier.is_done and not was_done
        except GoneError as error:
            say(str(error))
        except Exception as error:  # the store is away
            problem = one_line(error)
        courier.leave()
    if num_sent:
        say(f"Delivered what {num_sent} earlier starts of runs had left in {folder}.")
    if problem:
        say(f"What earlier runs left in {folder} cannot be delivered yet: {problem}.")


class _StuckError(Exception):
    """Nothing is left but uploads that failed; takes one argument, a sentence."""


class _SpoolReader:
    """Takes entries from one outbox to its sender."""

    def __init__(self, outbox: MetricSpool, sender: Sender, say: Say, end: int | None = None):
        self.outbox, self._sender, self._say = outbox, sender, say
        self._end = end  # of an outbox that was left behind: what comes later was put off

    @property
    def is_done(self) -> bool:
        """Whether the store has everything."""
        return self.outbox.num_waiting_bytes == 0

    def send_some(self, at_end: bool) -> bool:
        """Make one request of the oldest entries; say whether there were any."""
        pending = self.outbox.pending()
        if self._end is not None:
            pending = [one for one in pending if one.end <= self._end]
        if not pending:
            return False
        if (
            at_end
            and self._end is None
            and all(one.entry.get("tries", 0) >= NUM_TRIES for one in pending)
        ):
            raise _StuckError(pending[0].entry["why"])
        if not self._sender.answers():
            raise ConnectionError("nobody answers")
        batch = _batch(pending, VALUES_AFTER if at_end else VALUES_BESIDE)
        entries = [one.entry for one in batch]
        try:
            self._send(entries)
        except GoneError:
            self._keep_all()
            raise
        except Exception as error:
            if entries[0]["kind"] not in UPLOADS or not self._sender.answers():
                raise
            tries = entries[0].get("tries", 0) + 1
            self.outbox.append({**entries[0], "tries": tries, "why": one_line(error)})
            time.sleep(min(FIRST_RETRY_S * 2**tries, LONGEST_RETRY_S))
        self.outbox.taken(batch[-1].end)
        return True

    def leave(self) -> None:
        """Remove the file if the store has everything; else leave it to the next start."""
        if self.is_done:
            self.outbox.remove()
        self.outbox.close()

    def _send(self, entries: list[Entry]) -> None:
        try:
            self._sender.send(entries)
        except Exception as error:
            if not self._sender.refuses(error):
                raise
            halves = list(_halves(entries))
            for half in halves:
                self._send(half)
            if not halves:
                path = self.outbox.put_aside(entries[0], one_line(error))
                self._say(f"The run store refused an entry ({one_line(error)}); it is in {path}.")

    def _keep_all(self) -> None:
        self.outbox.path.rename(self.outbox.path.with_suffix(REFUSED))


@functools.cache
def _spare_what_stays() -> None:
    """Have garbage collection look past what was imported, once in a process.

    A full collection looks at every object of every imported module, 70 ms of them, and the work
    waits; the thread's requests make enough short-lived objects to bring several about.
    """
    gc.collect()
    gc.freeze()


def _adopted(folder: Path, run_id: str, sender_of: SenderOf, say: Say) -> Iterator[_SpoolReader]:
    """Yield a courier for everything that dead processes left behind, oldest first."""
    for path in left_behind(folder, run_id):
        outbox = MetricSpool.adopt(path)
        if outbox is not None:
            yield _SpoolReader(outbox, sender_of(outbox, True), say, outbox.end)


def _batch(pending: Sequence[Pending], num_values: int) -> list[Pending]:
    """Return the first entries, as many as go together in one request."""
    if pending[0].entry["kind"] not in TOGETHER:
        return [pending[0]]
    counts, batch = dict.fromkeys(TOGETHER, 0), list[Pending]()
    limits = {"metrics": num_values, "params": MAX_TEXTS, "tags": MAX_TEXTS}
    for one in pending:
        kind = one.entry["kind"]
        if kind not in TOGETHER:
            break
        counts[kind] += len(one.entry["values"])
        if batch and counts[kind] > limits[kind]:
            break
        batch.append(one)
    return batch


def _halves(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Yield two halves, to find the value that is refused; nothing if there is only one."""
    if len(entries) > 1:
        yield entries[: len(entries) // 2]
        yield entries[len(entries) // 2 :]
    elif len(values := list(entries[0].get("values", {}).items())) > 1:
        for part in (values[: len(values) // 2], values[len(values) // 2 :]):
            yield [{**entries[0], "values": dict(part)}]
