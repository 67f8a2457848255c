"""A preview of a sweep: its trials, what of them is finished, and what the rest takes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from olivine.experiments.estimate import Estimate, estimate
from olivine.experiments.expanded_sweep import ExpandedSweep, first_points
from olivine.experiments.search_space import Search
from olivine.tracking.tracker import Columns, Tracker


@dataclass(frozen=True)
class PreviewedTrial:
    """One trial; `note` says what of it is finished, or which trial shares its pretraining."""

    fingerprint: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Preview:
    """A sweep before it runs; of a search, the trials are its first points."""

    name: str
    trials: tuple[PreviewedTrial, ...]
    estimate: Estimate
    search: Search | None = None

    def lines(self, usd_per_gpu_hour: float) -> Iterable[str]:
        """Yield the preview as sentences."""
        search = self.search
        if search is not None:
            yield f"A search of {search.num_points} points, {' and '.join(search.goals)} as goals:"
            for name, values in search.space.items():
                yield f"  {name}: {values.to_dict()}"
            num_drawn = min(search.num_random, search.num_points)
            yield f"It begins with the first {num_drawn} of these; scores decide what follows:"
        for trial in self.trials:
            note = f"  ({trial.note})" if trial.note else ""
            yield f"{trial.fingerprint}  {trial.name}{note}"
        yield from self.estimate.lines(usd_per_gpu_hour)
        if search is not None and search.stop_on:
            yield "That is if every point comes to its end; those that are given up take less."

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as plain JSON values."""
        return {
            "sweep": self.name,
            "trials": [vars(trial) for trial in self.trials],
            "estimate": vars(self.estimate),
            "search": self.search.to_dict() if self.search else None,
        }


def preview(expanded: ExpandedSweep, tracker: Tracker) -> Preview:
    """Return the preview of a sweep, by the contents of the run store."""
    search = expanded.sweep.search
    if search is not None:
        expanded = replace(expanded, trials=first_points(expanded))
    prints = [trial.fingerprint for trial in expanded.trials]
    found = tracker.records("trial", fingerprints=prints, columns=Columns((), (), ()))
    finished = {run.key.fingerprint for run in found if run.status == "FINISHED"}
    stages = [
        [run for run in tracker.records(stage) if run.status == "FINISHED"]
        for stage in ("pretrain", "evaluate")
    ]
    pretrained = {run.key.fingerprint for run in stages[0]}
    trials = tuple(_noted(expanded, finished, pretrained))
    return Preview(expanded.sweep.name, trials, estimate(expanded, finished, *stages), search)


def _noted(
    expanded: ExpandedSweep, finished: set[str], pretrained: set[str]
) -> Iterable[PreviewedTrial]:
    first: dict[str, str] = {}  # shared pretraining -> name of the trial that runs it
    for trial in expanded.trials:
        work = expanded.shared_work(trial.config)
        note = ""
        if trial.fingerprint in finished:
            note = "finished before"
        elif work in pretrained:
            note = "its pretraining is finished"
        elif work in first:
            note = f"shares the pretraining of {first[work]}"
        elif work:
            first[work] = trial.name
        yield PreviewedTrial(trial.fingerprint, trial.name, note)
