"""Brings the entries of an outbox to MLflow, so that one that comes twice counts once.

Metrics: MLflow's databases keep one row per (run, name, time, step, value), so the same batch
again changes nothing. Parameters and tags are set to the same again, files are replaced, a data
set is known by its name and digest, a model by its name within its run. The run's status is the
last opening's alone: an earlier one that was delivered late must not end a run that goes on.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from olivine.core.errors import UserError
from olivine.tracking.mlflow_backend.client import CONTEXT, open_client
from olivine.tracking.mlflow_backend.model import log_backbone
from olivine.tracking.mlflow_backend.run import MAX_VALUE
from olivine.tracking.spool import Entry, MetricSpool
from olivine.tracking.spool_writer import MAX_TEXTS, GoneError
from olivine.tracking.store_uri import ask_server, is_server, shown
from olivine.tracking.tracker import FAILURE

OPENING = "olivine.opening"  # tag of a run: which opening it is in, or was in last
LATE_S = 5.0  # a run that ended longer ago may have been taken for dead
# What MLflow will answer again, however often it is asked.
REFUSALS = {
    "ALREADY_EXISTS",
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "NOT_FOUND",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}


class MlflowSender:
    """The sender of one outbox. `was_left`: the process that wrote it is dead."""

    def __init__(self, uri: str, outbox: MetricSpool, was_left: bool, copy_weights: bool):
        self._uri, self._outbox, self._copy_weights = uri, outbox, copy_weights
        self._run_id: str = outbox.header["run_id"]
        self._was_left = was_left
        self._known_params: set[str] | None = None if outbox.header["reopened"] else set()
        self._actions: Mapping[str, Callable[[Entry], None]] = {
            "file": self._log_file,
            "dataset": self._log_dataset,
            "model": self._log_model,
            "end": self._end,
        }

    def answers(self) -> bool:
        """Say whether a server can be asked; a database is asked by the request itself.

        MLflow would try for minutes and sleep in between, and not see the server come back.
        """
        if is_server(self._uri):
            try:
                ask_server(self._uri)
            except UserError:
                return False
        return True

    def send(self, entries: Sequence[Entry]) -> None:
        """Deliver metrics, parameters and tags in one request, or one entry of another kind."""
        kind = entries[0]["kind"]
        if kind in self._actions:
            self._actions[kind](entries[0])
        elif kind == "unreadable":
            raise ValueError("its line in the file is broken")
        else:
            self._log_batch(entries)

    def refuses(self, error: Exception) -> bool:
        """Say whether MLflow will never take it; raise GoneError if it lacks the run."""
        if isinstance(error, ValueError):
            return True
        if not isinstance(error, MlflowException) or error.error_code not in REFUSALS:
            return False
        if str(error).startswith("API request"):
            return False  # not MLflow's answer, but that of something before it
        try:
            stage = self._client.get_run(self._run_id).info.lifecycle_stage
        except MlflowException as second:
            if second.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            stage = "deleted"
        if stage == "deleted":
            raise GoneError(
                f"Run {self._outbox.header['name']!r} ({self._run_id}) was deleted in "
                f"{shown(self._uri)}; what it still had to say is kept in "
                f"{self._outbox.path.parent}."
            )
        return True

    @property
    def _client(self) -> MlflowClient:
        return open_client(self._uri)

    def _log_batch(self, entries: Sequence[Entry]) -> None:
        metrics = [
            Metric(name, value, entry["time_ms"], entry["step"])
            for entry in entries
            if entry["kind"] == "metrics"
            for name, value in entry["values"].items()
        ]
        texts: dict[str, dict[str, str]] = {"params": {}, "tags": {}}
        for entry in entries:
            if entry["kind"] in texts:
                texts[entry["kind"]].update(entry["values"])
        params = {
            name: value
            for name, value in texts["params"].items()
            if name not in self._logged_params()
        }
        tags = {} if texts["tags"] and self._is_superseded() else texts["tags"]
        if metrics or params or tags:
            self._client.log_batch(
                self._run_id,
                metrics,
                [Param(name, value) for name, value in params.items()],
                [RunTag(name, value) for name, value in tags.items()],
            )

    def _logged_params(self) -> set[str]:
        """Return the parameters that an earlier opening logged: MLflow lets none change."""
        if self._known_params is None:
            self._known_params = set(self._client.get_run(self._run_id).data.params)
        return self._known_params

    def _is_superseded(self) -> bool:
        """Say whether the run was opened again since this outbox was written."""
        if not self._was_left:
            return False
        tags = self._client.get_run(self._run_id).data.tags
        return bool(tags.get(OPENING) != self._outbox.header["opening"])

    def _log_file(self, entry: Entry) -> None:
        path = self._outbox.file(entry["name"])
        if not path.exists():  # an attempt before uploaded it, and its process died
            return
        self._client.log_artifact(self._run_id, str(path), entry["folder"] or None)
        self._outbox.drop_file(entry["name"])

    def _log_dataset(self, entry: Entry) -> None:
        source = entry["source"]
        scheme, is_uri, _ = source.partition("://")
        # MLflow keeps one input of a name and digest, and splits of a data set share their digest.
        dataset = Dataset(
            f"{entry['name']} {entry['context']}",
            entry["digest"],
            source_type=scheme if is_uri and scheme != "file" else "local",
            source=json.dumps({"uri": source}),
        )
        tags = [InputTag(CONTEXT, entry["context"])]
        self._client.log_inputs(self._run_id, [DatasetInput(dataset, tags)])

    def _log_model(self, entry: Entry) -> None:
        log_backbone(
            self._client,
            self._run_id,
            self._outbox.header["experiment_id"],
            entry["model"],
            copy_weights=self._copy_weights,
        )

    def _end(self, entry: Entry) -> None:
        if self._is_superseded():
            return
        client, reason = self._client, entry["reason"]
        is_late = self._was_left or time.time() - entry["time_ms"] / 1000 > LATE_S
        if reason:
            client.set_tag(self._run_id, FAILURE, reason[:MAX_VALUE])
        elif is_late and FAILURE in client.get_run(self._run_id).data.tags:
            client.delete_tag(self._run_id, FAILURE)  # it was taken for dead meanwhile
        client.set_terminated(self._run_id, entry["status"], entry["time_ms"])


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or change tags of a run now."""
    rows = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, len(rows), MAX_TEXTS):
        client.log_batch(run_id, tags=rows[start : start + MAX_TEXTS])
