"""Runs in MLflow: one run per key, its status always true, and nothing that waits for a server.

A run is found again by two tags, `olivine.stage` and `olivine.fingerprint`, never by its name or
by a scheduler's id. Opening a run and reading need the store; what a run says goes by way of the
local disk (`olivine.outbox`), and so does its end. A SQL database is read straight from its
tables, without MLflow, which takes seconds to import: it is imported only where it is needed.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from olivine.core.carried_code import CarriedCode
from olivine.core.errors import UserError
from olivine.core.hashing import text_hash
from olivine.core.spec import Spec
from olivine.tracking.mlflow_backend.run import MAX_VALUE, MlflowRun, texts_of
from olivine.tracking.provenance import provenance, provenance_texts
from olivine.tracking.spool import Outbox
from olivine.tracking.spool_writer import Sender, deliver_left_behind
from olivine.tracking.sql_reader import Query, Reader, SqlReader, UnreadableError
from olivine.tracking.store_uri import artifact_folder, is_database, outbox_folder
from olivine.tracking.tracker import (
    ALL_COLUMNS,
    FAILURE,
    FINGERPRINT,
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
CONTAINERS = ("sweep", "trial")  # stages that only hold others, which say what their machine does
END_AGAIN_S = 0.5
INTERRUPT_PATIENCE_S = 5.0  # that somebody who stops a run is made to wait
NO_COLUMNS = Columns(settings=(), metrics=(), tags=())


@dataclass(frozen=True)
class MlflowTracker:
    """A store of runs: a `sqlite:///` file, a database or the URI of a server.

    Holds no connection, so it can be sent to another process. `experiment`, `parent` and `tags`
    are those of every run it opens; `within` sets them.
    """

    uri: str
    experiment: str = "olivine"
    parent: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    cache: str = ""  # local folder of what a server has not taken; empty: the user's cache
    artifacts: str = ""  # where files go if a database is used without a server, and is not SQLite
    patience_s: float = 30.0  # that a run waits at its end for all it said to be delivered
    system_period_s: float = 10.0  # between samples of processor, memory and GPUs; 0: none
    copy_weights: bool = False  # a logged model holds its weights, not only their place
    known_texts: frozenset[str] = frozenset()  # hashes of what a run above keeps already

    def ensure_store(self) -> None:
        """Create the store if it is not there, or raise UserError if it cannot be reached.

        What earlier runs on this machine could not deliver is delivered now.
        """
        if not (is_database(self.uri) and SqlReader(self.uri).has_tables()):
            from olivine.tracking.mlflow_backend.client import open_client

            open_client(self.uri)
        self._deliver_left_behind()

    def within(self, parent: str, tags: Mapping[str, Any], experiment: str = "") -> "MlflowTracker":
        """Return the same store, whose new runs are children of a run id and carry these tags.

        They belong to an experiment of that name; if it is empty, to the same as before.
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
        """Open the run of this key, the unfinished one if there is one, and end it truly."""
        all_tags = {**provenance(), **_of_config(config), **self.tags, **(tags or {})}
        run_id, outbox, start_s = self._open(key, name, all_tags)
        run = MlflowRun(run_id, outbox, self._sender_of)
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
            # The first error is the one to tell: a full disk too must not hide it.
            with contextlib.suppress(UserError):
                run.end(*_verdict(error), min(patience_s, self.patience_s), self.uri)
            raise
        run.end("FINISHED", "", self.patience_s, self.uri)

    def finished(self, key: RunKey) -> RunRecord | None:
        """Return the newest finished run of this key, in any experiment of the store."""
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
        """Return all runs of the store, newest first, of a stage, with these tags and fingerprints.

        `columns` names the values that are read: of ten thousand runs, all of them take a while.
        """
        wanted = {**({STAGE: stage} if stage else {}), **(tags or {})}
        return self._read(Query(wanted, fingerprints=fingerprints, columns=columns))

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return step -> value of one metric; a step logged again after a resume counts once."""
        return self.histories([run_id], metric).get(run_id, {})

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return the history of every run that has one; quicker than one by one."""
        return self._by_any_reader(lambda reader: reader.histories(run_ids, metric))

    def log_files(self, run_id: str, paths: Sequence[Path], folder: str = "") -> None:
        """Keep copies of small files with a run, which may have ended; it waits for the store."""
        from olivine.tracking.mlflow_backend.client import open_client, told

        with told(self.uri):
            for path in paths:
                open_client(self.uri).log_artifact(run_id, str(path), folder or None)

    def read_text(self, run_id: str, name: str) -> str | None:
        """Return a small text file that is kept with a run, or None if it has no such file."""
        from olivine.tracking.mlflow_backend.client import read_text

        return read_text(self.uri, run_id, name)

    def logged_weights(self, run_id: str) -> LoggedWeights | None:
        """Return the weights of the newest model that a run logged, or None without one."""
        from olivine.tracking.mlflow_backend.client import open_client, told
        from olivine.tracking.mlflow_backend.model import weights_of

        with told(self.uri):
            return weights_of(open_client(self.uri), run_id)

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """End every RUNNING run with these tags, whose process is gone; return their names.

        What it left on this machine is delivered first, and may say how it ended.
        """
        self._deliver_left_behind()
        stale = self._read(Query(tags, status="RUNNING", columns=NO_COLUMNS))
        for run in stale:
            self._end(run.run_id, status, reason)
        return [run.name for run in stale]

    def _open(self, key: RunKey, name: str, tags: Mapping[str, Any]) -> tuple[str, Outbox, float]:
        """Return the id of the run, its new outbox and when it began, in seconds since 1970."""
        from olivine.tracking.mlflow_backend.client import told

        identity, opening = {STAGE: key.stage, FINGERPRINT: key.fingerprint}, uuid.uuid4().hex
        unfinished = [
            run
            for run in self._read(Query(identity, columns=Columns(settings=(), metrics=())))
            if run.status != "FINISHED"
        ]
        with told(self.uri):
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
            return run_id, Outbox.create(self._folder(), run_id, header), start_s
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
        from olivine.tracking.mlflow_backend.client import open_client, told

        client = open_client(self.uri)
        for is_last in (False, True):
            try:
                with told(self.uri):
                    client.set_tag(run_id, FAILURE, reason[:MAX_VALUE])
                    client.set_terminated(run_id, status)
                return
            except UserError:
                # A process that was not quite gone may have written the same at the same moment.
                if is_last:
                    raise
                time.sleep(END_AGAIN_S)
                if client.get_run(run_id).info.status != "RUNNING":
                    return

    @contextlib.contextmanager
    def _watched(self, key: RunKey, run: Run, start_s: float) -> Iterator[None]:
        """Log what the machine does meanwhile."""
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
        """Read from the tables if there are some, else by MLflow's client."""
        if is_database(self.uri):
            with contextlib.suppress(UnreadableError):
                return read(SqlReader(self.uri))
        from olivine.tracking.mlflow_backend.client import ClientReader

        return read(ClientReader(self.uri))

    def _folder(self) -> Path:
        cache = Path(self.cache) if self.cache else Path.home() / ".cache" / "olivine"
        return outbox_folder(self.uri, cache)

    def _deliver_left_behind(self) -> None:
        if self._folder().exists():
            deliver_left_behind(self._folder(), self._sender_of, self.patience_s)

    def _sender_of(self, outbox: Outbox, was_left: bool) -> Sender:
        from olivine.tracking.mlflow_backend.sender import MlflowSender

        return MlflowSender(self.uri, outbox, was_left, self.copy_weights)


def _log_code(config: Spec, run: MlflowRun) -> None:
    """Keep with a run the files of people's own parts, as `user_code/<hash>/`."""
    for code_hash, files in CarriedCode.of(config).trees.items():
        for path, data in files.items():
            folder, _, name = f"user_code/{code_hash}/{path}".rpartition("/")
            run.log_text(name, data.decode(errors="replace"), folder)


def _verdict(error: BaseException) -> tuple[str, str]:
    """Return status and reason: an error of the program is FAILED, an end from outside KILLED."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, UserError | StoppedError):
        text = str(error)
    return ("FAILED" if isinstance(error, Exception) else "KILLED"), text


def _of_config(config: Spec) -> dict[str, str]:
    settings = config.flatten()
    seed = settings.get("seed", settings.get("pretrained.seed"))
    tags = {"olivine.config": config.fingerprint()}
    return {**tags, **({} if seed is None else {"olivine.seed": str(seed)})}
