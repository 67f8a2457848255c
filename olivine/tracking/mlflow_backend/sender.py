"""Sends the entries of a spool to MLflow, so that an entry sent twice counts once.

MLflow's databases keep one row of metrics per (run, name, time, step, value), so the same batch
again changes nothing. Parameters and tags are set to the same value again, files are replaced, a
data set is identified by its name and digest, a model by its name within its run. Only the last
opening of a run sets its status: an earlier one that is sent late must not end a run that goes on.
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
from olivine.tracking.spool import MetricSpool
from olivine.tracking.spool_lines import Entry
from olivine.tracking.spool_writer import MAX_TEXTS, RunDeletedError
from olivine.tracking.store_uri import is_server, require_server, without_password
from olivine.tracking.tracker import FAILURE

OPENING = "olivine.opening"  # tag of a run: which opening it is in, or was in last
LATE_S = 5.0  # after that, another process may have ended the run as stale
# Error codes that another try would not change.
REFUSALS = {
    "ALREADY_EXISTS",
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "NOT_FOUND",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}


class MlflowSender:
    """The sender of one spool; `was_left` means that the process that wrote it has ended."""

    def __init__(self, uri: str, spool: MetricSpool, was_left: bool, copy_weights: bool):
        self._uri, self._spool, self._copy_weights = uri, spool, copy_weights
        self._run_id: str = spool.header["run_id"]
        self._was_left = was_left
        self._known_params: set[str] | None = None if spool.header["reopened"] else set()
        self._actions: Mapping[str, Callable[[Entry], None]] = {
            "file": self._log_file,
            "dataset": self._log_dataset,
            "model": self._log_model,
            "end": self._end,
        }

    def is_reachable(self) -> bool:
        """Return whether a server answers; a database is only tried by the request itself.

        MLflow's client would retry for minutes, with pauses in which it misses that the server is
        back.
        """
        if is_server(self._uri):
            try:
                require_server(self._uri)
            except UserError:
                return False
        return True

    def send(self, entries: Sequence[Entry]) -> None:
        """Send metrics, parameters and tags in one request, or one entry of another kind."""
        kind = entries[0]["kind"]
        if kind in self._actions:
            self._actions[kind](entries[0])
        elif kind == "unreadable":
            raise ValueError("its line in the file is damaged")
        else:
            self._log_batch(entries)

    def is_final(self, error: Exception) -> bool:
        """Return whether MLflow's refusal is final.

        Raises RunDeletedError if the run was deleted.
        """
        if isinstance(error, ValueError):
            return True
        if not isinstance(error, MlflowException) or error.error_code not in REFUSALS:
            return False
        if str(error).startswith("API request"):
            return False  # the answer of a proxy instead of MLflow
        try:
            stage = self._client.get_run(self._run_id).info.lifecycle_stage
        except MlflowException as second:
            if second.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            stage = "deleted"
        if stage == "deleted":
            raise RunDeletedError(
                f"Run {self._spool.header['name']!r} ({self._run_id}) was deleted in "
                f"{without_password(self._uri)}; the metrics that were not sent are in "
                f"{self._spool.path.parent}."
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
        """Return the parameters that an earlier opening logged; MLflow lets none change."""
        if self._known_params is None:
            self._known_params = set(self._client.get_run(self._run_id).data.params)
        return self._known_params

    def _is_superseded(self) -> bool:
        """Return whether the run was opened again since this spool was written."""
        if not self._was_left:
            return False
        tags = self._client.get_run(self._run_id).data.tags
        return bool(tags.get(OPENING) != self._spool.header["opening"])

    def _log_file(self, entry: Entry) -> None:
        path = self._spool.file(entry["name"])
        if not path.exists():  # an earlier process died after the upload, before it recorded it
            return
        self._client.log_artifact(self._run_id, str(path), entry["folder"] or None)
        self._spool.drop_file(entry["name"])

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
            self._spool.header["experiment_id"],
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
            client.delete_tag(self._run_id, FAILURE)  # set by a process that considered it stale
        client.set_terminated(self._run_id, entry["status"], entry["time_ms"])


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or change a run's tags at once, without the spool."""
    rows = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, len(rows), MAX_TEXTS):
        client.log_batch(run_id, tags=rows[start : start + MAX_TEXTS])
