"""A preview of a sweep: its trials, the finished ones among them, and the cost of the others."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from olivine.experiments.estimate import Estimate, estimate
from olivine.experiments.expanded_sweep import ExpandedSweep, first_points
from olivine.experiments.search_space import Search
from olivine.tracking.tracker import Columns, Tracker


@dataclass(frozen=True)
class PreviewedTrial:
    """One trial; `status` is a text such as "finished before", or empty."""

    fingerprint: str
    name: str
    status: str = ""


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
            num_random = min(search.num_random, search.num_points)
            yield f"It begins with the first {num_random} of these; later points depend on scores:"
        for trial in self.trials:
            status = f"  ({trial.status})" if trial.status else ""
            yield f"{trial.fingerprint}  {trial.name}{status}"
        yield from self.estimate.lines(usd_per_gpu_hour)
        if search is not None and search.stop_on:
            yield (
                "This is the cost if every point runs to its end; points that are stopped early "
                "take less."
            )

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
    trials = tuple(_previewed(expanded, finished, pretrained))
    return Preview(expanded.sweep.name, trials, estimate(expanded, finished, *stages), search)


def _previewed(
    expanded: ExpandedSweep, finished: set[str], pretrained: set[str]
) -> Iterable[PreviewedTrial]:
    first: dict[str, str] = {}  # shared pretraining -> name of the trial that runs it
    for trial in expanded.trials:
        work = expanded.shared_work(trial.config)
        status = ""
        if trial.fingerprint in finished:
            status = "finished before"
        elif work in pretrained:
            status = "its pretraining is finished"
        elif work in first:
            status = f"shares the pretraining of {first[work]}"
        elif work:
            first[work] = trial.name
        marks = [f"allowed: {text}" for text in expanded.tags_of(trial.config).values()]
        status = "; ".join(filter(None, (status, *marks)))
        yield PreviewedTrial(trial.fingerprint, trial.name, status)
