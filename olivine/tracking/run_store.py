"""Opens the run store of a runtime; MLflow is imported only where it is needed."""

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.tracking.store_uri import sqlite_path, without_password
from olivine.tracking.tracker import Tracker


def open_run_store(runtime: Runtime) -> Tracker:
    """Return the run store of a runtime, which is created if it is missing.

    Raises UserError for a store that cannot be reached.
    """
    from olivine.tracking.mlflow_backend.tracker import MlflowTracker

    tracker = MlflowTracker(runtime.store_uri())
    tracker.ensure_store()
    return tracker


def existing_run_store(runtime: Runtime) -> Tracker:
    """Return the run store of a runtime to read from it.

    Raises UserError if there is none; none is created, because reading should leave no trace.
    """
    uri = runtime.store_uri()
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise UserError(
            f"There is no run store at {without_password(uri)}: name the folder of the runs "
            "(runtime.out) or their store (runtime.tracking_uri)."
        )
    return open_run_store(runtime)
