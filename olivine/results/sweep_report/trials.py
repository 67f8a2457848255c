"""The trials of a sweep in its report, with status, score and cost of each."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from olivine.data.scenes import overlap_mark
from olivine.experiments.sweep_plan import GAVE_UP, POINT, SweepPlan
from olivine.tracking.tracker import FAILURE, RunRecord, best_status_run

PROVENANCE = ("git.", "version.", "hardware.", "sha256.")  # beginnings of the names of such tags
HOURS = "hours"  # a trial's metric: its device-hours, with its pretraining in full
DEVICE_TIME, CLOCK_TIME = "device time", "wall-clock time"
_PER_HOUR = {"h": 1.0, "min": 60.0, "s": 3600.0}  # units in which a cost is shown
FINISHED, NEVER_STARTED, GIVEN_UP = "finished", "never started", "given up"


@dataclass(frozen=True)
class TrialFacts:
    """One configuration with one seed, and its result."""

    fingerprint: str
    row: str
    seed: int
    number: int  # of a search's point; 0: the trial of an ablation
    status: str  # finished, running, failed, killed, given up or never started
    reason: str  # why it did not finish, if that is known
    score: float  # NaN: none
    hours: float  # NaN: unknown
    record: RunRecord | None  # None: never started

    @property
    def name(self) -> str:
        """The displayed name."""
        return f"#{self.number}" if self.number else f"{self.row}, seed {self.seed}"

    @property
    def has_score(self) -> bool:
        """Return whether it finished with the sweep's metric."""
        return not math.isnan(self.score)

    @property
    def overlap(self) -> str:
        """What the network learnt of the scenes that score it; empty: nothing known."""
        return overlap_mark(self.record.tags, self.record.settings) if self.record else ""

    @property
    def settings(self) -> Mapping[str, str]:
        """Its settings, as its run stored them."""
        return self.record.settings if self.record else {}


@dataclass(frozen=True)
class CostUnit:
    """What trials take, as people read it: a kind of time, and a unit that suits its size."""

    text: str
    unit: str  # h, min or s

    @property
    def header(self) -> str:
        """The text with the unit in brackets, as a table's header and a chart's axis have it."""
        return f"{self.text} ({self.unit})"

    def amount(self, hours: float) -> float:
        """Return hours in this unit."""
        return hours * _PER_HOUR[self.unit]


@dataclass(frozen=True)
class ScoreAtCost:
    """A configuration as a point of score and cost."""

    name: str
    score: float
    deviation: float  # over seeds; NaN: one seed
    hours: float  # NaN: unknown
    num_seeds: int
    on_front: bool  # no other is as good at lower cost


def trial_facts(plan: SweepPlan, records: Sequence[RunRecord]) -> tuple[TrialFacts, ...]:
    """Return every trial of a plan, in its order; records are newest first."""
    best = best_status_run(records)
    measured = has_hours(records)
    trials = []
    for fingerprint, planned in plan.trials.items():
        record = best.get(fingerprint)
        status, reason, score, hours = NEVER_STARTED, "", math.nan, math.nan
        if record is not None:
            reason = record.tags.get(FAILURE, "")
            gave_up = reason.startswith(GAVE_UP)
            status = GIVEN_UP if gave_up else record.status.lower()
        if record is not None and status == FINISHED:
            score = record.metrics.get(plan.metric, math.nan)
            hours = record.metrics.get(HOURS, math.nan) if measured else _clock_hours(record)
            reason = f"It has no metric {plan.metric!r}." if math.isnan(score) else ""
        number = int(record.tags.get(POINT, 0)) if record and plan.searches else 0
        trials.append(
            TrialFacts(
                fingerprint, planned.row, planned.seed, number, status, reason, score, hours, record
            )
        )
    return tuple(trials)


def score_at_cost(
    trials: Sequence[TrialFacts], is_search: bool, lower_is_better: bool
) -> tuple[ScoreAtCost, ...]:
    """Return a point per row (means over seeds), or per trial of a search, the cheapest first.

    A point of unknown cost comes last and is not on the front.
    """
    groups: dict[str, list[TrialFacts]] = {}
    for trial in trials:
        if trial.has_score:
            groups.setdefault(trial.name if is_search else trial.row, []).append(trial)
    sign, best = (1 if lower_is_better else -1), math.inf
    points = []
    for name, group in groups.items():
        scores, hours = [t.score for t in group], [t.hours for t in group]
        deviation = statistics.stdev(scores) if len(group) > 1 else math.nan
        means = statistics.fmean(scores), deviation, statistics.fmean(hours)
        points.append(ScoreAtCost(name, *means, num_seeds=len(group), on_front=False))
    points.sort(key=lambda point: (math.isnan(point.hours), point.hours, sign * point.score))
    for index, point in enumerate(points):
        if not math.isnan(point.hours) and sign * point.score < best:
            best = sign * point.score
            points[index] = replace(point, on_front=True)
    return tuple(points)


def environment(trials: Iterable[TrialFacts]) -> dict[str, dict[str, int]]:
    """Return the environment of the trials: tag -> value -> number of trials."""
    found: dict[str, Counter[str]] = {}
    for trial in trials:
        for name, value in (trial.record.tags if trial.record else {}).items():
            if name.startswith(PROVENANCE):
                found.setdefault(name, Counter())[value] += 1
    return {name: dict(found[name].most_common()) for name in sorted(found)}


def report_order(
    trials: Sequence[TrialFacts], is_search: bool, lower_is_better: bool
) -> tuple[TrialFacts, ...]:
    """Return a search's trials by score, the best first; an ablation's in the plan's order."""
    if not is_search:
        return tuple(trials)
    sign = 1 if lower_is_better else -1
    return tuple(sorted(trials, key=lambda trial: (math.isnan(trial.score), sign * trial.score)))


def cost_unit(text: str, trials: Iterable[TrialFacts]) -> CostUnit:
    """Return the largest unit of which half of the trials take one or more; hours if none is known.

    A demo takes seconds and minutes, of which nobody reads 0.0063 hours.
    """
    known = [trial.hours for trial in trials if not math.isnan(trial.hours)]
    middle = statistics.median(known) if known else 1.0
    fitting = (unit for unit, per_hour in _PER_HOUR.items() if middle * per_hour >= 1)
    return CostUnit(text, next(fitting, "s"))


def has_hours(records: Iterable[RunRecord]) -> bool:
    """Return whether the trials recorded their device-hours."""
    return any(HOURS in record.metrics for record in records)


def _clock_hours(record: RunRecord) -> float:
    return math.nan if record.end_s is None else (record.end_s - record.start_s) / 3600
