"""Opens the store of runs for a command."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olivine.core.runtime import Runtime
    from olivine.tracking.tracker import Tracker


def open_tracker(runtime: "Runtime") -> "Tracker":
    """Return the store of runs, which is created if it is missing."""
    from olivine.tracking.run_store import open_run_store

    return open_run_store(runtime)


def existing_tracker(runtime: "Runtime") -> "Tracker":
    """Return the store of runs if it exists, else an empty one; nothing is created."""
    from olivine.tracking.tracker import NullTracker

    file = runtime.store_uri().removeprefix("sqlite:///")
    if file != runtime.store_uri() and not Path(file).exists():
        return NullTracker()
    return open_tracker(runtime)
