"""The points of a search: its own trials, and trials that another sweep has finished.

A trial that is finished anywhere in the store is not run again, so it has no run below this search.
A tag of the search's run records that the search used it.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from olivine.experiments.sweep import Trial
from olivine.experiments.sweep_plan import POINT, ROW, SEED, SWEEP_RUN
from olivine.tracking.tracker import RunRecord, Tracker, best_status_run

TAKEN = "olivine.taken."  # start of a tag of a search's run; a fingerprint follows


def taken_tag(trial: Trial, number: int) -> dict[str, str]:
    """Return the tag which records that a search used a finished trial as a point."""
    own = {POINT: str(number), ROW: trial.row, SEED: str(trial.seed)}
    return {f"{TAKEN}{trial.fingerprint}": json.dumps(own)}


def points_of(
    sweep_run: str, tracker: Tracker, also: Mapping[str, str] | None = None
) -> list[RunRecord]:
    """Return the trials of a sweep's run; those of other sweeps get its number, row and seed.

    `also` are further such tags, which may not have reached the store yet.
    """
    own = tracker.records("trial", {SWEEP_RUN: sweep_run})
    tags = next((run.tags for run in tracker.records("sweep") if run.run_id == sweep_run), {})
    taken = {
        name.removeprefix(TAKEN): json.loads(text)
        for name, text in {**tags, **(also or {})}.items()
        if name.startswith(TAKEN)
    }
    for run in own:
        taken.pop(run.key.fingerprint, None)
    if not taken:
        return own
    found = best_status_run(tracker.records("trial", fingerprints=list(taken)))
    return own + [replace(run, tags={**run.tags, **taken[name]}) for name, run in found.items()]
