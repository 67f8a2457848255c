"""Finds finished runs and their files, and locks a run that is in progress."""

import contextlib
import fcntl
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from olivine.core.buckets import is_bucket
from olivine.core.checksums import DamagedError, checked
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.tracking.tracker import RunKey, RunRecord, Tracker

SpecT = TypeVar("SpecT", bound=Spec)

OUT = "olivine.out"  # tag of a run: the folder or bucket of its files


def find_finished(
    key: RunKey, runtime: Runtime, tracker: Tracker, files: Sequence[str], subject: str = ""
) -> RunRecord | None:
    """Return the finished run of a key if its files are here or in its own `out`; None otherwise.

    A run of another person, in the same run store, may have another `out`; its files are copied
    here. Runs that ended before `runtime.not_before_s` do not count. `subject` takes part in the
    files' checksums. Raises UserError for a damaged file that would be copied.
    """
    record = tracker.finished(key)
    if record is None or (record.end_s or 0.0) < runtime.not_before_s:
        return None
    here, there = Store(runtime.out), record.tags.get(OUT, "")
    for name in files:
        if not here.exists(name) and not _fetch(name, there, here, subject):
            return None
    return record


def older_settings(config: SpecT) -> tuple[SpecT, str]:
    """Return the settings with what earlier versions had where this one has a choice, and a text.

    The text names the changes as `--set` does; it is empty if they change no result.
    """
    earlier = config.override(config.added_settings())
    if earlier.fingerprint() == config.fingerprint():
        return config, ""
    before, now = earlier.setting_texts(), config.setting_texts()
    changes = [f"{name}={text}" for name, text in before.items() if now[name] != text]
    return earlier, ", ".join(changes)


def ignoring_finished(runtime: Runtime) -> Runtime:
    """Return a runtime that ignores all runs finished until now, so that they run again."""
    return runtime.override({"not_before_s": time.time()})


def _fetch(name: str, out: str, here: Store, subject: str) -> bool:
    if not out:
        return False
    try:
        there = Store(out)
        if not there.exists(name):
            return False
        data = there.read(name)
    except UserError:  # a disk or a bucket that this machine cannot reach
        return False
    try:
        checked(data, there.path(name), subject, note_of=there.root)
    except DamagedError as error:
        raise DamagedError(
            f"{error} It belongs to a finished run: remove it there, or run again with --force."
        ) from None
    here.write(name, data)
    return True


@contextlib.contextmanager
def one_at_a_time(key: RunKey, runtime: Runtime) -> Iterator[None]:
    """Let one process at a time do a run below a local `out`, while the others wait.

    The lock ends with its process, even if that is killed. A bucket has no locks.
    """
    if is_bucket(runtime.out):
        yield
        return
    path = runtime.out_path("locks", f"{key.stage}-{key.fingerprint}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
