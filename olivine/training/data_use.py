"""The data that a run reads, in its tags; and why a finished run of other data is not reused."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.data.identity.file_lists import differences, keep_file_lists
from olivine.data.identity.split import SplitIdentity
from olivine.tracking.reused import code_text, time_text
from olivine.tracking.tracker import CONFIG, IDENTITY, Columns, RunRecord, Tracker
from olivine.training.finished_runs import OUT, older_settings

DATA = "data."  # begins the tag of a part: data.train.scans
OLD = (
    "a version before 0.3 made it, which knew its data by the tables alone, so its scans, images "
    "and point labels may have been others"
)
FINISHED = "FINISHED"
log = logging.getLogger("olivine")


@dataclass(frozen=True)
class DataUse:
    """What a stage reads of one split."""

    use: str  # pretrain, train or val
    identity: SplitIdentity
    parts: tuple[str, ...]  # besides the tables

    @property
    def fingerprint(self) -> str:
        """12 hex digits of everything that is read."""
        return self.identity.of(*self.parts)

    def tags(self) -> dict[str, str]:
        """Return a run's tags of the tables and the parts."""
        values = self.identity.values(*self.parts)
        return {f"{DATA}{self.use}.{part}": value for part, value in values.items()}


def keep_lists(uses: tuple[DataUse, ...], out: str) -> None:
    """Keep the lists of the files that are read below `out`, to name later what changed."""
    for one in uses:
        keep_file_lists(Store(out), one.identity, one.parts)


def why_not_reused(stage: str, config: Spec, uses: tuple[DataUse, ...], tracker: Tracker) -> str:
    """Return why the newest finished run of equal settings is not reused; "" if there is none.

    It is empty, too, if that run read the same data: then its labels or weights were others.
    `config` are the settings with which the run would be recorded.
    """
    columns = Columns(settings=(), metrics=())
    runs = tracker.records(stage, {CONFIG: config.fingerprint()}, columns=columns)
    record = next((run for run in runs if run.status == FINISHED), None)
    record = record or _old_run(stage, config, tracker)
    if record is None:
        return ""
    reason = _of_old(config) if is_old(record.tags) else ", ".join(_differing(uses, record))
    if not reason:
        return ""
    made = f"{time_text(record.end_s)}, {code_text(record.tags)}"
    what = {"pretrain": "pretraining", "evaluate": "evaluation"}[stage]
    return f"The {what} of {made}, has the same settings and is not reused: {reason}."


def _of_old(config: Spec) -> str:
    """Return why a run before 0.3 is not reused, with what it had where there is a choice now."""
    changes = older_settings(config)[1]
    return f"{OLD}, and it had {changes}, without a choice" if changes else OLD


def _old_run(stage: str, config: Spec, tracker: Tracker) -> RunRecord | None:
    """Return the newest finished run before 0.3 whose settings, as far as it had them, are these.

    The fingerprint of equal settings may be another now, since settings were added.
    """
    tags = tracker.records(stage, columns=Columns(settings=(), metrics=(), tags=(IDENTITY,)))
    old = {run.key.fingerprint for run in tags if run.status == FINISHED and is_old(run.tags)}
    if not old:
        return None
    mine = config.setting_texts()
    for run in tracker.records(stage, fingerprints=old, columns=Columns(metrics=())):
        then = {name: text for name, text in run.settings.items() if not name.endswith(".root")}
        if run.status == FINISHED and then and then.items() <= mine.items():
            return run
    return None


def say_why_not_reused(
    stage: str,
    config: Spec,
    uses: tuple[DataUse, ...],
    runtime: Runtime,
    tracker: Tracker,
) -> None:
    """Log why a finished run of equal settings is not reused, and keep the lists of files.

    Nothing is logged where the user asked for another run (`not_before_s`).
    """
    if not runtime.not_before_s:
        sentence = why_not_reused(stage, config, uses, tracker)
        if sentence:
            log.warning(sentence)
    keep_lists(uses, runtime.out)


def is_old(tags: Mapping[str, str]) -> bool:
    """Return whether a run's fingerprint does not cover the files that it read."""
    return IDENTITY not in tags


def _differing(uses: tuple[DataUse, ...], record: RunRecord) -> Iterator[str]:
    store = Store(record.tags.get(OUT) or ".")
    for one in uses:
        split = "" if one.use == "pretrain" else f" of {one.use}"
        for part, now in one.identity.values(*one.parts).items():
            then = record.tags.get(f"{DATA}{one.use}.{part}", "")
            if then == now:
                continue
            if part == "tables":
                yield f"the tables{split} differ"
            else:
                yield f"{differences(store, part, then, one.identity)}{split}"
