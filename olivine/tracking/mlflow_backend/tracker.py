"""Runs in MLflow: one run per key, with a correct status; no stage waits for a server.

A run is found again by two tags, `olivine.stage` and `olivine.fingerprint`, never by its name or
by a scheduler's id. Opening a run and reading runs need the store. What a run logs, its end
included, goes through a spool on the local disk. A SQL database is read directly from its tables,
without MLflow, which takes seconds to import and is imported only where it is needed.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from olivine.core.errors import UserError
from olivine.core.hashing import text_hash
from olivine.core.shipped_code import UserCode
from olivine.core.spec import Spec
from olivine.tracking.mlflow_backend.run import MAX_VALUE, MlflowRun, texts_of
from olivine.tracking.provenance import provenance, provenance_texts
from olivine.tracking.spool import MetricSpool
from olivine.tracking.spool_writer import Sender, send_left_behind
from olivine.tracking.sql_reader import Query, Reader, SqlReader, UnreadableError
from olivine.tracking.store_uri import artifact_folder, is_database, spool_folder
from olivine.tracking.tracker import (
    ALL_COLUMNS,
    CONFIG,
    FAILURE,
    FINGERPRINT,
    IDENTITY,
    IDENTITY_VERSION,
    PARENT,
    STAGE,
    Columns,
    LoggedWeights,
    Run,
    RunKey,
    RunRecord,
    StoppedError,
    sigterm_exits,
)

COMMIT = "mlflow.source.git.commit"  # MLflow's own name
# Stages that only contain other runs, which log the machine's load themselves.
CONTAINERS = ("sweep", "trial")
END_AGAIN_S = 0.5
INTERRUPT_PATIENCE_S = 5.0  # longest wait of a person who interrupts a run
NO_COLUMNS = Columns(settings=(), metrics=(), tags=())


@dataclass(frozen=True)
class MlflowTracker:
    """A run store: a `sqlite:///` file, a database or the URI of a server.

    It holds no connection, so it can be sent to another process. Every run that it opens gets its
    `experiment`, `parent` and `tags`; `within` sets them.
    """

    uri: str
    experiment: str = "olivine"
    parent: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    cache: str = ""  # local folder of spools for a server; empty: the user's cache
    artifacts: str = ""  # folder of files for a database that is neither SQLite nor behind a server
    patience_s: float = 30.0  # longest wait at a run's end until all of its entries are sent
    system_period_s: float = 10.0  # between samples of processor, memory and GPUs; 0: none
    copy_weights: bool = False  # whether a logged model holds a copy of its weights
    known_texts: frozenset[str] = frozenset()  # hashes of the texts of a parent run

    def ensure_store(self) -> None:
        """Create the store if it is not there; raise UserError if it cannot be reached.

        Entries that earlier runs on this machine could not send are sent now.
        """
        if not (is_database(self.uri) and SqlReader(self.uri).has_tables()):
            from olivine.tracking.mlflow_backend.client import open_client

            open_client(self.uri)
        self._send_left_behind()

    def within(self, parent: str, tags: Mapping[str, Any], experiment: str = "") -> "MlflowTracker":
        """Return a tracker of the same store whose new runs are children of the run `parent`.

        The runs carry `tags` and belong to `experiment`; an empty name keeps the experiment.
        """
        known = frozenset(map(text_hash, provenance_texts().values())) if parent else frozenset()
        return replace(
            self,
            parent=parent or self.parent,
            tags={**self.tags, **texts_of(tags)},
            experiment=experiment or self.experiment,
            known_texts=self.known_texts | known,
        )

    @contextlib.contextmanager
    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        """Open the run of a key, the unfinished one if there is one, and end it with its block."""
        all_tags = {**provenance(), **_of_config(config), **self.tags, **(tags or {})}
        run_id, spool, start_s = self._open(key, name, all_tags)
        run = MlflowRun(run_id, spool, self._sender_of)
        try:
            with sigterm_exits(), self._watched(key, run, start_s):
                run.log_settings(config)
                for text_name, text in provenance_texts().items():
                    if text_hash(text) not in self.known_texts:
                        run.log_text(text_name, text)
                if key.stage not in CONTAINERS:
                    _log_code(config, run)
                yield run
        except BaseException as error:
            patience_s = self.patience_s if isinstance(error, Exception) else INTERRUPT_PATIENCE_S
            # The first error is the one to report; a full disk must not hide it.
            with contextlib.suppress(UserError):
                run.end(*_verdict(error), min(patience_s, self.patience_s), self.uri)
            raise
        run.end("FINISHED", "", self.patience_s, self.uri)

    def finished(self, key: RunKey) -> RunRecord | None:
        """Return the newest finished run of a key, in any experiment of the store, or None."""
        found = self._read(
            Query({STAGE: key.stage, FINGERPRINT: key.fingerprint}, status="FINISHED")
        )
        return found[0] if found else None

    def records(
        self,
        stage: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        fingerprints: Collection[str] | None = None,
        columns: Columns = ALL_COLUMNS,
    ) -> list[RunRecord]:
        """Return runs, newest first: those of a stage, with all these tags, of these fingerprints.

        None leaves a condition out. `columns` names the values that are read; reading all values of
        ten thousand runs is slow.
        """
        wanted = {**({STAGE: stage} if stage else {}), **(tags or {})}
        return self._read(Query(wanted, fingerprints=fingerprints, columns=columns))

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return a metric's values by step; of a step that was logged twice, the later value."""
        return self.histories([run_id], metric).get(run_id, {})

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return the metric's history by run id, of the runs that have it, in one query."""
        return self._by_any_reader(lambda reader: reader.histories(run_ids, metric))

    def log_files(self, run_id: str, paths: Sequence[Path], folder: str = "") -> None:
        """Store copies of small files with a run, which may have ended; wait for the store."""
        from olivine.tracking.mlflow_backend.client import open_client, store_errors

        with store_errors(self.uri):
            for path in paths:
                open_client(self.uri).log_artifact(run_id, str(path), folder or None)

    def read_text(self, run_id: str, name: str) -> str | None:
        """Return a small text file that is stored with a run, or None if it has no such file."""
        from olivine.tracking.mlflow_backend.client import read_text

        return read_text(self.uri, run_id, name)

    def logged_weights(self, run_id: str) -> LoggedWeights | None:
        """Return the weights of the newest model that a run logged, or None without one."""
        from olivine.tracking.mlflow_backend.client import open_client, store_errors
        from olivine.tracking.mlflow_backend.model import weights_of

        with store_errors(self.uri):
            return weights_of(open_client(self.uri), run_id)

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """End every RUNNING run with these tags, whose process is gone; return the runs' names.

        Entries that a run left on this machine are sent first; they may contain its end.
        """
        self._send_left_behind()
        stale = self._read(Query(tags, status="RUNNING", columns=NO_COLUMNS))
        for run in stale:
            self._end(run.run_id, status, reason)
        return [run.name for run in stale]

    def _open(
        self, key: RunKey, name: str, tags: Mapping[str, Any]
    ) -> tuple[str, MetricSpool, float]:
        """Return the run's id, its new spool and the time of its start in seconds since 1970."""
        from olivine.tracking.mlflow_backend.client import store_errors

        identity, opening = {STAGE: key.stage, FINGERPRINT: key.fingerprint}, uuid.uuid4().hex
        unfinished = [
            run
            for run in self._read(Query(identity, columns=Columns(settings=(), metrics=())))
            if run.status != "FINISHED"
        ]
        with store_errors(self.uri):
            run_id, experiment_id, start_s = self._created_or_reopened(
                unfinished[0] if unfinished else None, name, {**identity, **tags}, opening
            )
        header = {
            "name": name,
            "opening": opening,
            "experiment_id": experiment_id,
            "reopened": bool(unfinished),
        }
        try:
            return run_id, MetricSpool.create(self._folder(), run_id, header), start_s
        except UserError as error:
            self._end(run_id, "FAILED", str(error))
            raise

    def _created_or_reopened(
        self, unfinished: RunRecord | None, name: str, tags: Mapping[str, Any], opening: str
    ) -> tuple[str, str, float]:
        from olivine.tracking.mlflow_backend.client import experiment_id, open_client
        from olivine.tracking.mlflow_backend.sender import OPENING, set_tags

        client, parent = open_client(self.uri), {PARENT: self.parent} if self.parent else {}
        commit = {COMMIT: tags["git.commit"]} if "git.commit" in tags else {}
        all_tags = texts_of({**tags, **parent, **commit, OPENING: opening})
        if unfinished is None:
            folder = artifact_folder(self.uri, self.experiment, self.artifacts)
            experiment = experiment_id(self.uri, self.experiment, folder)
            run = client.create_run(experiment, run_name=name, tags=all_tags)
        else:
            run_id = unfinished.run_id
            client.update_run(run_id, status="RUNNING", name=name)
            set_tags(client, run_id, all_tags)
            if FAILURE in unfinished.tags:
                client.delete_tag(run_id, FAILURE)
            run = client.get_run(run_id)
        return run.info.run_id, run.info.experiment_id, run.info.start_time / 1000

    def _end(self, run_id: str, status: str, reason: str) -> None:
        from olivine.tracking.mlflow_backend.client import open_client, store_errors

        client = open_client(self.uri)
        for is_last in (False, True):
            try:
                with store_errors(self.uri):
                    client.set_tag(run_id, FAILURE, reason[:MAX_VALUE])
                    client.set_terminated(run_id, status)
                return
            except UserError:
                # Another process may have written the same end at the same time.
                if is_last:
                    raise
                time.sleep(END_AGAIN_S)
                if client.get_run(run_id).info.status != "RUNNING":
                    return

    @contextlib.contextmanager
    def _watched(self, key: RunKey, run: Run, start_s: float) -> Iterator[None]:
        """Log the machine's load during the block."""
        if key.stage in CONTAINERS or not self.system_period_s:
            yield
            return
        from olivine.tracking.mlflow_backend.system_monitor import SystemMonitor

        monitor = SystemMonitor(run.log_metrics, start_s, self.system_period_s)
        try:
            yield
        finally:
            monitor.stop()

    def _read(self, query: Query) -> list[RunRecord]:
        return self._by_any_reader(lambda reader: reader.records(query))

    def _by_any_reader(self, read: Callable[[Reader], Any]) -> Any:
        """Read from the database's tables where that is possible, else by MLflow's client."""
        if is_database(self.uri):
            with contextlib.suppress(UnreadableError):
                return read(SqlReader(self.uri))
        from olivine.tracking.mlflow_backend.client import ClientReader

        return read(ClientReader(self.uri))

    def _folder(self) -> Path:
        cache = Path(self.cache) if self.cache else Path.home() / ".cache" / "olivine"
        return spool_folder(self.uri, cache)

    def _send_left_behind(self) -> None:
        if self._folder().exists():
            send_left_behind(self._folder(), self._sender_of, self.patience_s)

    def _sender_of(self, spool: MetricSpool, was_left: bool) -> Sender:
        from olivine.tracking.mlflow_backend.sender import MlflowSender

        return MlflowSender(self.uri, spool, was_left, self.copy_weights)


def _log_code(config: Spec, run: MlflowRun) -> None:
    """Store the files of users' parts with a run, as `user_code/<hash>/`."""
    for code_hash, files in UserCode.of(config).trees.items():
        for path, data in files.items():
            folder, _, name = f"user_code/{code_hash}/{path}".rpartition("/")
            run.log_text(name, data.decode(errors="replace"), folder)


def _verdict(error: BaseException) -> tuple[str, str]:
    """Return a run's status and reason: FAILED for an error, KILLED if it was stopped."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, UserError | StoppedError):
        text = str(error)
    return ("FAILED" if isinstance(error, Exception) else "KILLED"), text


def _of_config(config: Spec) -> dict[str, str]:
    settings = config.flatten()
    seed = settings.get("seed", settings.get("pretrained.seed"))
    tags = {CONFIG: config.fingerprint(), IDENTITY: IDENTITY_VERSION}
    return {**tags, **({} if seed is None else {"olivine.seed": str(seed)})}
