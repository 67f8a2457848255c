"""Sends the entries of spools to the run store, from a thread beside the training.

The training only appends to a file. The thread sends a few entries at a time, oldest first, and
tries again while the store is slow or unreachable. Entries that a killed process left behind are
sent by the next process on the same machine. An entry may reach the store twice, if a process dies
before it has recorded the answer; senders make that harmless.
"""

import functools
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from olivine.tracking.spool import (
    REFUSED,
    MetricSpool,
    Pending,
    left_behind,
    rename_damaged,
)
from olivine.tracking.spool_lines import Entry
from olivine.tracking.store_uri import one_line

PERIOD_S = 1.0  # between requests while a run goes on
LOOK_AROUND_S = 10.0  # between searches for spools that other runs left on this machine
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 5.0
# While this thread computes, the work waits for the interpreter. So requests are small while the
# work goes on, and the thread sleeps after each, to use this share of the time.
CPU_SHARE = 0.05
VALUES_BESIDE, VALUES_AFTER = 100, 800  # metrics in a request during the work, and after it
MAX_TEXTS = 100  # parameters or tags in a request, which is MLflow's limit
NUM_TRIES = 3  # of an upload after the work, while the store answers

TOGETHER = ("metrics", "params", "tags")  # kinds of entries that share a request
UPLOADS = ("file", "model", "dataset")  # kinds whose failure must not stop other entries

Log = Callable[[str], None]
warn = logging.getLogger("olivine").warning


class RunDeletedError(Exception):
    """The store no longer has the run; its one argument is a sentence."""


@runtime_checkable
class Sender(Protocol):
    """Sends the entries of one spool to a store; an entry sent twice must count once."""

    def is_reachable(self) -> bool:
        """Return whether the store can be reached now."""
        ...

    def send(self, entries: Sequence[Entry]) -> None:
        """Send entries that share a request, or one entry of another kind; raise on failure."""
        ...

    def is_final(self, error: Exception) -> bool:
        """Return whether an error is final; raise RunDeletedError if the store has no such run."""
        ...


SenderOf = Callable[[MetricSpool, bool], Sender]  # of a spool, and whether it was left behind


class SpoolWriter:
    """Sends a run's open spool, after the spools that earlier openings of the run left behind."""

    def __init__(self, spool: MetricSpool, sender_of: SenderOf, log: Log = warn):
        self._spool, self._sender_of, self._log = spool, sender_of, log
        earlier = _adopted(spool.path.parent, spool.header["run_id"], sender_of, log)
        self._own = [*earlier, _SpoolReader(spool, sender_of(spool, False), log)]
        self._others: list[_SpoolReader] = []
        self._looked_around_s = time.monotonic()
        self._problem = ""
        self._closing, self._ended = threading.Event(), threading.Event()
        self._is_awaited = True
        _exclude_imports_from_collection()
        threading.Thread(target=self._work, name="olivine delivery", daemon=True).start()

    def close(self, patience_s: float) -> str:
        """Wait until everything is sent; return "", or the reason why it is not.

        After `patience_s` seconds the thread goes on trying as long as its process lives, and the
        rest stays on disk.
        """
        self._closing.set()
        if not self._ended.wait(patience_s):
            self._is_awaited = False
            return self._problem or "it is slow"
        self._spool.close()
        return self._problem

    def _work(self) -> None:
        failures = 0
        while True:
            started_s = time.thread_time()
            at_end = self._closing.is_set()  # read first, because no entry is added after it is set
            try:
                is_done = self._send_some(at_end)
                failures, self._problem = 0, ""
            except (RunDeletedError, _StuckError) as error:
                self._problem = str(error)
                break
            except Exception as error:  # from any library: the store cannot be reached
                self._problem = one_line(error)
                failures += 1
                self._wait_for_store(failures)
                continue
            if is_done and at_end:
                break
            spent_s = time.thread_time() - started_s
            self._closing.wait(PERIOD_S if is_done else spent_s * (1 / CPU_SHARE - 1))
        for reader in [*self._own[:-1], *self._others]:
            reader.leave()
        if not self._problem:
            self._spool.remove()
        self._ended.set()

    def _send_some(self, at_end: bool) -> bool:
        """Make one request; return whether nothing was left to send."""
        while len(self._own) > 1:  # of this run, in the order in which it was logged
            if self._own[0].send_some(at_end):
                return False
            self._own.pop(0).leave()
        if self._own[0].send_some(at_end):
            return False
        return at_end or not self._send_for_others()

    def _send_for_others(self) -> bool:
        """Make one request with entries that other runs left; return whether there were any."""
        if not self._others and time.monotonic() - self._looked_around_s > LOOK_AROUND_S:
            self._looked_around_s = time.monotonic()
            folder = self._spool.path.parent
            self._others = list(_adopted(folder, "*", self._sender_of, self._log))
        while self._others:
            try:
                if self._others[0].send_some(at_end=False):
                    return True
            except RunDeletedError as error:
                self._log(str(error))
            self._others.pop(0).leave()
        return False

    def _wait_for_store(self, failures: int) -> None:
        if not self._closing.is_set():
            self._closing.wait(min(FIRST_RETRY_S * 2**failures, LONGEST_RETRY_S))
        else:
            time.sleep(FIRST_RETRY_S if self._is_awaited else LONGEST_RETRY_S)


def send_left_behind(folder: Path, sender_of: SenderOf, patience_s: float, log: Log = warn) -> None:
    """Send the spools that ended processes left in a folder; unsent entries stay on disk.

    It tries for `patience_s` seconds and passes a sentence about the result to `log`.
    """
    until_s, num_sent, problem = time.monotonic() + patience_s, 0, ""
    for reader in _adopted(folder, "*", sender_of, log):
        was_done = reader.is_done
        try:
            while not problem and time.monotonic() < until_s and reader.send_some(True):
                pass
            num_sent += reader.is_done and not was_done
        except RunDeletedError as error:
            log(str(error))
        except Exception as error:  # the store cannot be reached
            problem = one_line(error)
        reader.leave()
    if num_sent:
        log(f"Sent the metrics of {num_sent} earlier starts of runs, which were in {folder}.")
    if problem:
        log(f"Metrics of earlier runs stay in {folder}: they cannot be sent yet ({problem}).")


class _StuckError(Exception):
    """Only uploads that failed are left; its one argument is a sentence."""


class _SpoolReader:
    """Reads entries from one spool and passes them to its sender."""

    def __init__(self, spool: MetricSpool, sender: Sender, log: Log, end: int | None = None):
        self.spool, self._sender, self._log = spool, sender, log
        self._end = end  # of a spool that was left behind: later entries are second tries

    @property
    def is_done(self) -> bool:
        """Whether the store has received every entry."""
        return self.spool.num_waiting_bytes == 0

    def send_some(self, at_end: bool) -> bool:
        """Make one request with the oldest entries; return whether there were any."""
        pending = self.spool.pending()
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
        if not self._sender.is_reachable():
            raise ConnectionError("the run store does not answer")
        batch = _batch(pending, VALUES_AFTER if at_end else VALUES_BESIDE)
        entries = [one.entry for one in batch]
        try:
            self._send(entries)
        except RunDeletedError:
            self._keep_all()
            raise
        except Exception as error:
            if entries[0]["kind"] not in UPLOADS or not self._sender.is_reachable():
                raise
            tries = entries[0].get("tries", 0) + 1
            self.spool.append({**entries[0], "tries": tries, "why": one_line(error)})
            time.sleep(min(FIRST_RETRY_S * 2**tries, LONGEST_RETRY_S))
        self.spool.mark_received(batch[-1].end)
        return True

    def leave(self) -> None:
        """Remove the spool if all of it was received; otherwise leave it to the next start."""
        if self.is_done:
            self.spool.remove()
        self.spool.close()

    def _send(self, entries: list[Entry]) -> None:
        try:
            self._sender.send(entries)
        except Exception as error:
            if not self._sender.is_final(error):
                raise
            halves = list(_halves(entries))
            for half in halves:
                self._send(half)
            if not halves:
                path = self.spool.save_refused(entries[0], one_line(error))
                self._log(f"The run store refused an entry ({one_line(error)}); it is in {path}.")

    def _keep_all(self) -> None:
        self.spool.path.rename(self.spool.path.with_suffix(REFUSED))


@functools.cache
def _exclude_imports_from_collection() -> None:
    """Exclude all objects imported so far from garbage collection, once in a process.

    A full collection visits every object of every imported module, which takes 70 ms in which the
    work waits; the thread's requests make enough short-lived objects to cause several.
    """
    gc.collect()
    gc.freeze()


def _adopted(folder: Path, run_id: str, sender_of: SenderOf, log: Log) -> Iterator[_SpoolReader]:
    """Yield a reader of every spool that ended processes left behind, oldest first."""
    for path in left_behind(folder, run_id):
        spool = MetricSpool.adopt(path)
        if spool is None:
            continue
        try:
            sender = sender_of(spool, True)
        except (KeyError, TypeError):
            rename_damaged(path, f"The header of {path} is damaged.")
            spool.close()
            continue
        yield _SpoolReader(spool, sender, log, spool.end)


def _batch(pending: Sequence[Pending], num_values: int) -> list[Pending]:
    """Return the first entries that fit into one request together."""
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
    """Yield two halves, to find the value that is refused; yield nothing for a single value."""
    if len(entries) > 1:
        yield entries[: len(entries) // 2]
        yield entries[len(entries) // 2 :]
    elif len(values := list(entries[0].get("values", {}).items())) > 1:
        for part in (values[: len(values) // 2], values[len(values) // 2 :]):
            yield [{**entries[0], "values": dict(part)}]
