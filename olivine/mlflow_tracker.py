"""Runs in MLflow: one run per key, its status always true.

Only `MlflowClient` is used: the fluent interface keeps the active run in global state, which
threads of one process would share. A run is found again by two tags, `olivine.stage` and
`olivine.fingerprint`, never by its name or by a scheduler's id.
"""

import contextlib
import functools
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

# Read when mlflow is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException

from olivine.errors import UserError
from olivine.provenance import provenance
from olivine.run_store import artifact_folder, ask_server, one_line, sqlite_lock
from olivine.spec import Spec
from olivine.tracking import FAILURE, FINGERPRINT, STAGE, Run, RunKey, RunRecord, sigterm_exits

PARENT = "mlflow.parentRunId"  # MLflow's own name; its pages nest runs by it
MAX_VALUE = 6000  # characters of a parameter or tag
MAX_PARAMS = 100  # parameters or tags of one request
MAX_METRICS = 1000  # metric values of one request
FLUSH_VALUES, FLUSH_S = 500, 2.0  # a step's metrics wait in memory at most this long


@dataclass(frozen=True)
class MlflowTracker:
    """A store of runs: a `sqlite:///` file or the URI of a server. Holds no connection itself.

    `parent` and `tags` go to every run it opens; `within` sets them.
    """

    uri: str
    experiment: str = "olivine"
    parent: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def ensure_store(self) -> None:
        """Create the store and the experiment, or raise UserError if it cannot be reached."""
        self._experiment_id()

    def within(self, parent: str, tags: Mapping[str, Any]) -> "MlflowTracker":
        """Return the same store, whose new runs are children of a run id and carry these tags."""
        return replace(self, parent=parent, tags={**self.tags, **_texts(tags)})

    @contextlib.contextmanager
    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        """Open the run of this key, the unfinished one if there is one, and end it truly."""
        client = _client(self.uri)
        run = _MlflowRun(client, self._open(key, name))
        try:
            with sigterm_exits():
                run.set_tags({**provenance(), **_seed(config), **self.tags, **(tags or {})})
                _log_config(client, run.run_id, config)
                yield run
                run.flush()
        except BaseException as error:
            # The first error is the one to tell: a store that is away too must not hide it.
            with contextlib.suppress(MlflowException):
                run.flush()
                _end(client, run.run_id, *_verdict(error))
            raise
        _end(client, run.run_id, "FINISHED", "")

    def finished(self, key: RunKey) -> RunRecord | None:
        """Return the newest finished run of this key, in any experiment of the store."""
        found = self._search({STAGE: key.stage, FINGERPRINT: key.fingerprint}, "FINISHED")
        return _record(found[0]) if found else None

    def records(
        self, stage: str | None = None, tags: Mapping[str, str] | None = None
    ) -> list[RunRecord]:
        """Return all runs of the store, newest first, of a stage and with these tags."""
        wanted = {**({STAGE: stage} if stage else {}), **(tags or {})}
        return [_record(run) for run in self._search(wanted) if FINGERPRINT in run.data.tags]

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return step -> value of one metric; a step logged again after a resume counts once."""
        points = _client(self.uri).get_metric_history(run_id, metric)
        last = {point.step: point.value for point in sorted(points, key=lambda p: p.timestamp)}
        return dict(sorted(last.items()))

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """End every RUNNING run with these tags, whose process is gone; return their names."""
        stale = self._search(tags, "RUNNING")
        for run in stale:
            _end(_client(self.uri), run.info.run_id, status, reason)
        return [run.info.run_name for run in stale]

    def _open(self, key: RunKey, name: str) -> str:
        client = _client(self.uri)
        identity = {STAGE: key.stage, FINGERPRINT: key.fingerprint}
        parent = {PARENT: self.parent} if self.parent else {}
        unfinished = [run for run in self._search(identity) if run.info.status != "FINISHED"]
        if not unfinished:
            return client.create_run(
                self._experiment_id(), run_name=name, tags={**identity, **parent}
            ).info.run_id
        run_id = unfinished[0].info.run_id
        client.update_run(run_id, status="RUNNING", name=name)
        for tag, value in parent.items():
            client.set_tag(run_id, tag, value)
        if FAILURE in unfinished[0].data.tags:
            client.delete_tag(run_id, FAILURE)
        return run_id

    def _search(self, tags: Mapping[str, str], status: str = "") -> list[StoredRun]:
        client = _client(self.uri)
        terms = [f"tags.`{tag}` = {_quoted(value)}" for tag, value in tags.items()]
        terms += [f"attributes.status = '{status}'"] if status else []
        experiments = _pages(client.search_experiments)
        fetch = functools.partial(
            client.search_runs,
            [experiment.experiment_id for experiment in experiments],
            " and ".join(terms),
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=1000,
            order_by=["attributes.start_time DESC"],
        )
        return _pages(fetch)

    def _experiment_id(self) -> str:
        client = _client(self.uri)
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            folder = artifact_folder(self.uri, self.experiment)
            try:
                return client.create_experiment(self.experiment, artifact_location=folder)
            except MlflowException:  # another process was quicker
                found = client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise UserError(
                f"The MLflow experiment {self.experiment!r} was deleted; restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}` or choose another name."
            )
        return found.experiment_id


class _MlflowRun:
    """A run that is going on; values wait in memory until there are enough for one request."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.run_id = run_id
        self._client = client
        self._waiting: list[Metric] = []
        self._flushed_s = time.monotonic()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at a step."""
        now_ms = time.time_ns() // 1_000_000
        self._waiting += [
            Metric(name, float(value), now_ms, step) for name, value in metrics.items()
        ]
        if len(self._waiting) >= FLUSH_VALUES or time.monotonic() - self._flushed_s > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what is still in memory."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_METRICS], self._waiting[MAX_METRICS:]
            self._client.log_batch(self.run_id, metrics=batch)
        self._flushed_s = time.monotonic()

    def log_file(self, path: Path, folder: str = "") -> None:
        """Keep a copy of a small file with the run."""
        self._client.log_artifact(self.run_id, str(path), folder or None)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add or change tags."""
        rows = [RunTag(name, value) for name, value in _texts(tags).items()]
        for start in range(0, len(rows), MAX_PARAMS):
            self._client.log_batch(self.run_id, tags=rows[start : start + MAX_PARAMS])


def _end(client: MlflowClient, run_id: str, status: str, reason: str) -> None:
    if reason:
        client.set_tag(run_id, FAILURE, reason[:MAX_VALUE])
    client.set_terminated(run_id, status)


def _verdict(error: BaseException) -> tuple[str, str]:
    """Return status and reason: an error of the program is FAILED, an end from outside KILLED."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, UserError):
        text = str(error)
    return ("FAILED" if isinstance(error, Exception) else "KILLED"), text


def _log_config(client: MlflowClient, run_id: str, config: Spec) -> None:
    """Log every setting once; a value too long for a parameter is whole in config.yaml."""
    known = client.get_run(run_id).data.params
    settings = _texts(config.flatten())
    missing = [Param(name, text) for name, text in settings.items() if name and name not in known]
    for start in range(0, len(missing), MAX_PARAMS):
        client.log_batch(run_id, params=missing[start : start + MAX_PARAMS])
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "config.yaml")
            path.write_text(config.to_yaml())
            client.log_artifact(run_id, str(path))


def _seed(config: Spec) -> dict[str, str]:
    seed = config.flatten().get("seed")
    return {} if seed is None else {"olivine.seed": str(seed)}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Write values as `--set` reads them: text as it is, the rest as JSON."""
    texts = {}
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text) > MAX_VALUE:
            note = f"… ({len(text)} characters; config.yaml has all)"
            text = text[: MAX_VALUE - len(note)] + note
        texts[name] = text
    return texts


def _record(run: StoredRun) -> RunRecord:
    tags = run.data.tags
    return RunRecord(
        run_id=run.info.run_id,
        key=RunKey(tags.get(STAGE, ""), tags.get(FINGERPRINT, "")),
        name=run.info.run_name,
        status=run.info.status,
        settings=run.data.params,
        metrics=run.data.metrics,
        tags=tags,
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


@functools.lru_cache(maxsize=8)
def _client(uri: str) -> MlflowClient:
    """Return a client of a store that answers; a new SQLite file is made by one process only."""
    for name in ("mlflow", "alembic"):  # they tell of every table they make
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith(("http://", "https://")):
        ask_server(uri)
    elif not uri.startswith(("sqlite:///", "postgresql", "mysql", "databricks")):
        raise UserError(
            f"The run store {uri!r} is neither a file (sqlite:////folder/mlflow.db) nor a "
            "server (http://host:5000); set tracking_uri to one of them."
        )
    try:
        with sqlite_lock(uri) as path:
            if path is not None and not path.exists():
                _make_database(path)
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except Exception as error:  # whatever the libraries below MLflow raise: it is not our fault
        raise UserError(f"Cannot open the run store {uri}: {one_line(error)}") from None
    return client


def _make_database(path: Path) -> None:
    """Make the tables under another name: a process killed meanwhile would leave half of them."""
    hidden = path.with_name(f".{path.name}.new")
    hidden.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"sqlite:///{hidden}").search_experiments(max_results=1)
    hidden.replace(path)
