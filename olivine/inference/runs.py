"""Finds the files of a run from a reference that a user types."""

import contextlib
import re
from dataclasses import dataclass

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError, nearest
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.inference.networks import BACKBONE_FILE, CHECKPOINTS
from olivine.tracking.run_store import existing_run_store
from olivine.tracking.store_uri import without_password
from olivine.tracking.tracker import FAILURE, Columns, RunRecord, Tracker
from olivine.training.checkpoints import Checkpoints
from olivine.training.finished_runs import OUT

FINISHED = "FINISHED"
CONFIG_FILE = "config.yaml"  # one of the files that are stored with a run
_AS_URI = re.compile(r"runs:/([0-9a-f]+)(/backbone)?")
_COLUMNS = Columns(settings=(), metrics=(), tags=(OUT, FAILURE))
_NUM_DIGITS = 12  # of a fingerprint
_MOST_NAMED = 5  # runs in a sentence


@dataclass(frozen=True)
class BackboneFile:
    """The weights of a pretraining: one file."""

    store: Store  # its folder
    name: str
    sha256: str = ""  # of the logged file; empty: not known

    @property
    def path(self) -> str:
        """Its path or URI, for messages."""
        return self.store.path(self.name)


@dataclass(frozen=True)
class EvaluationFolder:
    """The folder of an evaluation."""

    store: Store
    config_yaml: str | None = None  # the settings in the run store


def looks_like_run(source: str) -> bool:
    """Return whether a text that is no path may be the beginning of an id or fingerprint.

    Its letters may be capitals.
    """
    text = source.lower()
    return bool(_AS_URI.fullmatch(text) or re.fullmatch(r"[0-9a-f]{1,32}", text))


def files_of_run(reference: str, runtime: Runtime) -> BackboneFile | EvaluationFolder:
    """Return the files of a finished pretraining, evaluation or trial.

    `reference` is a run's id, a fingerprint, the beginning of one of them, or `runs:/ID`. The files
    are searched for below `runtime.out`, then in the run's own folder. Raises UserError for an
    unknown, ambiguous or unfinished run, and for one without weights or whose files are gone.
    """
    tracker = existing_run_store(runtime)
    run = find_run(reference, tracker, without_password(runtime.store_uri()))
    folders = [f"{place}/{_folder(run)}" for place in (runtime.out, run.tags.get(OUT, "")) if place]
    if run.key.stage == "pretrain":
        return _backbone_file(run, tracker, folders)
    for folder in folders:
        if _has_checkpoints(Store(folder)):
            return EvaluationFolder(Store(folder), tracker.read_text(run.run_id, CONFIG_FILE))
    raise _files_gone(run, folders)


def find_run(reference: str, tracker: Tracker, store_name: str) -> RunRecord:
    """Return the finished run of a reference; raise UserError unless there is exactly one."""
    match = _AS_URI.fullmatch(reference.lower())
    wanted = match.group(1) if match else reference.lower()
    runs, found = _called(wanted, tracker)
    if not found:
        known = [run.key.fingerprint for run in runs]
        raise UserError(
            f"No run {reference!r} in {store_name}, which has {len(runs)}.{nearest(wanted, known)} "
            "Give a run's id, a fingerprint, or how one begins; another store is named by "
            "runtime.out or runtime.tracking_uri."
        )
    with_weights = [run for run in found if run.key.stage in ("pretrain", "evaluate", "trial")]
    if not with_weights:
        raise UserError(
            f"Run {reference!r} is of the stage {found[0].key.stage!r} ({found[0].name}), which "
            "leaves no weights: name a pretraining, an evaluation or a trial."
        )
    works = {(_stage(run), run.key.fingerprint): run for run in reversed(with_weights)}
    if len(works) > 1:
        named = [f"{print_} ({stage}: {run.name})" for (stage, print_), run in works.items()]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise UserError(
            f"{reference!r} begins {len(named)} runs: {', '.join(named[:_MOST_NAMED])}{more}; give "
            "more of it."
        )
    ((stage, fingerprint),) = works
    alike = [run for run in runs if (run.key.stage, run.key.fingerprint) == (stage, fingerprint)]
    exact = [run for run in alike if run.run_id == wanted]
    return _finished(exact or alike, reference)


def _called(wanted: str, tracker: Tracker) -> tuple[list[RunRecord], list[RunRecord]]:
    """Return the runs that were read, newest first, and those of them that match."""
    if len(wanted) == _NUM_DIGITS:  # so that not all runs of a large store are read
        runs = tracker.records(fingerprints=[wanted], columns=_COLUMNS)
        if runs:
            return runs, [run for run in runs if run.key.fingerprint == wanted]
    runs = tracker.records(columns=_COLUMNS)
    found = [run for run in runs if run.run_id == wanted]
    found = found or [run for run in runs if run.key.fingerprint == wanted]
    return runs, found or [run for run in runs if _begins(run, wanted)]


def _finished(runs: list[RunRecord], reference: str) -> RunRecord:
    """Return the newest run that has finished."""
    for run in runs:
        if run.status == FINISHED:
            return run
    if not runs:  # of a trial that ended before its evaluation
        raise UserError(f"Run {reference!r} is a trial without an evaluation: it has no weights.")
    newest, reason = runs[0], runs[0].tags.get(FAILURE, "")
    raise UserError(
        f"Run {reference!r} ({newest.name}) is {newest.status}{f' ({reason})' if reason else ''}: "
        "it has left no weights. The same command goes on with it."
    )


def _begins(run: RunRecord, wanted: str) -> bool:
    return run.run_id.startswith(wanted) or run.key.fingerprint.startswith(wanted)


def _stage(run: RunRecord) -> str:
    """Return the stage that made the weights, which is "evaluate" for a trial."""
    return "evaluate" if run.key.stage == "trial" else run.key.stage


def _folder(run: RunRecord) -> str:
    folder = {"pretrain": "pretrained", "evaluate": "evaluated"}[run.key.stage]
    return f"{folder}/{run.key.fingerprint}"


def _backbone_file(run: RunRecord, tracker: Tracker, folders: list[str]) -> BackboneFile:
    logged = tracker.logged_weights(run.run_id)
    places = [f"{folder}/{BACKBONE_FILE}" for folder in folders]
    for place in [*places, *([logged.place] if logged else [])]:
        folder, _, name = place.rpartition("/")
        if _has(Store(folder), name):
            return BackboneFile(Store(folder), name, logged.sha256 if logged else "")
    raise _files_gone(run, folders)


def _has(store: Store, name: str) -> bool:
    """Return whether a file exists; an unreachable location has none."""
    with contextlib.suppress(UserError):
        return store.exists(name)
    return False


def _has_checkpoints(store: Store) -> bool:
    """Return whether weights exist; the folder of a reused evaluation has only its predictions."""
    with contextlib.suppress(UserError):
        return bool(Checkpoints(store, CHECKPOINTS).steps())
    return False


def _files_gone(run: RunRecord, folders: list[str]) -> UserError:
    places = " or ".join(dict.fromkeys(folders))
    advice = "" if any(map(is_bucket, folders)) else "; name the folder of the runs by runtime.out"
    return UserError(
        f"The weights of run {run.key.fingerprint} ({run.name}) are not in {places}{advice}."
    )
