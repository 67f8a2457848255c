"""MLflow's client: opened once, read page by page, with errors as sentences.

Only `MlflowClient` is used: the fluent interface keeps the active run in global state, which
threads of one process would share.
"""

import contextlib
import functools
import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when mlflow is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import Run as StoredRun
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from olivine.core.errors import UserError
from olivine.tracking.sql_reader import Query, last_by_step, readable, record_of
from olivine.tracking.store_uri import (
    is_database,
    is_server,
    one_line,
    require_database,
    require_server,
    sqlite_lock,
    without_password,
)
from olivine.tracking.tracker import FINGERPRINT, RunRecord

QUIET_LOGGERS = {
    "mlflow": logging.WARNING,  # logs every table that it makes
    "alembic": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,  # warns at every attempt of a request
}
FEW_FINGERPRINTS = 300  # are queried one by one, since a server has no query for several


@functools.lru_cache(maxsize=8)
def open_client(uri: str) -> MlflowClient:
    """Return a client of a store that answers.

    A missing SQLite file is created, by one process at a time. Raises UserError for a store that
    cannot be reached and for a URI that is no store.
    """
    for name, level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    if is_server(uri):
        require_server(uri)
    elif not (is_database(uri) or uri.startswith("databricks")):
        raise UserError(
            f"The run store {without_password(uri)!r} is neither a file "
            "(sqlite:////folder/mlflow.db) nor a server (http://host:5000); set "
            "tracking_uri to one of them."
        )
    try:
        with sqlite_lock(uri) as path:
            if path is not None:
                if path.exists():
                    require_database(path)
                else:
                    _make_database(path)
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except UserError:
        raise
    except Exception as error:  # from any library below MLflow
        raise UserError(
            f"Cannot open the run store {without_password(uri)}: {one_line(error)}"
        ) from None
    return client


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn an error of the store within the block into a UserError."""
    try:
        yield
    except MlflowException as error:
        raise UserError(
            f"The run store {without_password(uri)} failed: {one_line(error)}"
        ) from None


@dataclass(frozen=True)
class ClientReader:
    """Reads runs by MLflow's client, which fetches every value of every run that it finds."""

    uri: str

    def records(self, query: Query) -> list[RunRecord]:
        """Return the runs that fit a query, newest first."""
        known = self._experiments()
        wanted = query.fingerprints
        if wanted is not None and len(wanted) <= FEW_FINGERPRINTS:
            parts = [{**query.tags, FINGERPRINT: one} for one in sorted(wanted)]
        else:
            parts = [dict(query.tags)]
        found = [run for tags in parts for run in self._search(known, tags, query.status)]
        records = [_record(run, known, query) for run in found if FINGERPRINT in run.data.tags]
        if wanted is not None:
            records = [one for one in records if one.key.fingerprint in wanted]
        return sorted(records, key=lambda one: (-one.start_s, one.run_id))

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return a metric's values by run id and step, of the runs that have it."""
        client, found = open_client(self.uri), {}
        with store_errors(self.uri):
            for run_id in run_ids:
                points = client.get_metric_history(run_id, metric)
                if points:
                    found[run_id] = last_by_step(
                        (point.step, point.timestamp, readable(point.value)) for point in points
                    )
        return found

    def _experiments(self) -> dict[str, str]:
        with store_errors(self.uri):
            return {
                experiment.experiment_id: experiment.name
                for experiment in _pages(open_client(self.uri).search_experiments)
            }

    def _search(
        self, experiments: Mapping[str, str], tags: Mapping[str, str], status: str
    ) -> list[StoredRun]:
        terms = [f"tags.`{tag}` = {_quoted(value)}" for tag, value in tags.items()]
        terms += [f"attributes.status = '{status}'"] if status else []
        fetch = functools.partial(
            open_client(self.uri).search_runs,
            list(experiments),
            " and ".join(terms),
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=1000,
            order_by=["attributes.start_time DESC"],
        )
        with store_errors(self.uri):
            return _pages(fetch)


def experiment_id(uri: str, name: str, artifacts: str | None) -> str:
    """Return the id of an experiment, which is created if it is missing.

    Files of a new experiment are stored below `artifacts`. Raises UserError if the experiment was
    deleted.
    """
    client = open_client(uri)
    with store_errors(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return client.create_experiment(name, artifact_location=artifacts)
            except MlflowException:  # another process created it first
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
    if found.lifecycle_stage != "active":
        raise UserError(
            f"The MLflow experiment {name!r} was deleted; restore it with "
            f"`mlflow experiments restore -x {found.experiment_id}` or choose another name."
        )
    return found.experiment_id


def read_text(uri: str, run_id: str, name: str) -> str | None:
    """Return a text file of a run's artifacts, or None if there is no such file."""
    client = open_client(uri)
    with store_errors(uri), tempfile.TemporaryDirectory() as folder:
        if name not in {found.path for found in client.list_artifacts(run_id)}:
            return None
        return Path(client.download_artifacts(run_id, name, folder)).read_text()


def _record(run: StoredRun, experiments: Mapping[str, str], query: Query) -> RunRecord:
    info, data = run.info, run.data
    return record_of(
        info.run_id,
        (info.run_name, info.status, experiments[info.experiment_id]),
        (info.start_time, info.end_time),
        (data.params, data.metrics, data.tags),
        query.columns,
    )


def _pages(fetch: Callable[..., Any]) -> list[Any]:
    found, token = [], None
    while True:
        page = fetch(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _quoted(value: str) -> str:
    quote = '"' if "'" in value else "'"
    return f"{quote}{value}{quote}"


def _make_database(path: Path) -> None:
    """Make the tables in a hidden file and rename it, so that no half-made database stays."""
    hidden = path.with_name(f".{path.name}.new")
    hidden.unlink(missing_ok=True)
    with _written_to_disk_at_the_end(hidden):
        MlflowClient(tracking_uri=f"sqlite:///{hidden}").search_experiments(max_results=1)
    hidden.replace(path)


@contextlib.contextmanager
def _written_to_disk_at_the_end(path: Path) -> Iterator[None]:
    """Let SQLite wait for the disk once for a file, not at each statement within the block.

    MLflow's migrations wait more than a thousand times, which takes four seconds on a slow disk.
    """

    def do_not_wait(connection: Any, record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            _, _, opened = connection.execute("PRAGMA database_list").fetchone()
            if opened and Path(opened) == path.resolve():
                connection.execute("PRAGMA synchronous = OFF")

    sa.event.listen(sa.Engine, "connect", do_not_wait)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", do_not_wait)
    with path.open("rb") as written:
        os.fsync(written.fileno())


CONTEXT = "mlflow.data.context"  # tag of a data set's use: MLflow's own name
