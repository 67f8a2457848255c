"""All results of a sweep, read once from the store for one page.

It works for an ablation (rows over seeds), a search (many points, no rows) and a sweep without a
finished trial.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from olivine.core.runtime import Runtime
from olivine.experiments.reproduce_command import reproduce_command, shell_command
from olivine.experiments.sweep_plan import SWEEP_RUN
from olivine.results.importance import (
    Importance,
    VaryingSetting,
    importance,
    of_trials,
    varying_settings,
)
from olivine.results.sweep_report.curves import Curves, read_curves
from olivine.results.sweep_report.trials import (
    CLOCK_TIME,
    DEVICE_TIME,
    CostUnit,
    ScoreAtCost,
    TrialFacts,
    cost_unit,
    environment,
    has_hours,
    report_order,
    score_at_cost,
    trial_facts,
)
from olivine.results.tables.build import find_sweep_run, plan_of, scene_reader, tabulate
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.table import Table
from olivine.tracking.store_uri import without_password
from olivine.tracking.tracker import NOTE, RunRecord, Tracker, best_status_run
from olivine.training.evaluate import PRETRAINED
from olivine.training.loop import device_hours_of

MAX_SETTINGS = 8  # of a chart or a table


@dataclass(frozen=True)
class Repeat:
    """The commands that run a row or a point again."""

    name: str
    command: str  # empty: no command gives these settings
    run_ids: tuple[str, ...]  # their config.yaml has them


@dataclass(frozen=True)
class SweepReport:
    """The contents of the page."""

    name: str
    question: str
    metric: str
    lower_is_better: bool
    is_search: bool
    sweep: RunRecord
    store: str
    trials: tuple[TrialFacts, ...]
    table: Table | None  # of an ablation with finished trials
    settings: tuple[VaryingSetting, ...]  # settings that vary over the finished trials
    importance: Importance
    cost: CostUnit  # what the trials' `hours` are, and how they are shown
    points: tuple[ScoreAtCost, ...]  # rows, or a search's trials
    curves: tuple[Curves, ...]
    device_hours: float  # of all runs, shared ones counted once
    environment: Mapping[str, Mapping[str, int]]  # tag -> value -> trials
    repeats: tuple[Repeat, ...]

    @property
    def finished(self) -> tuple[TrialFacts, ...]:
        """The trials with a score."""
        return tuple(trial for trial in self.trials if trial.has_score)

    @property
    def best_first(self) -> tuple[TrialFacts, ...]:
        """The trials with a score, the best in front."""
        sign = 1 if self.lower_is_better else -1
        return tuple(sorted(self.finished, key=lambda trial: sign * trial.score))

    @property
    def best(self) -> ScoreAtCost | None:
        """The row with the best mean, or a search's best trial."""
        sign = 1 if self.lower_is_better else -1
        return min(self.points, key=lambda point: sign * point.score, default=None)

    @property
    def overlaps(self) -> Mapping[str, str]:
        """The overlap of every row, or of every trial of a search, whose score has one."""
        marked = [trial for trial in self.finished if trial.overlap]
        return {one.name if self.is_search else one.row: one.overlap for one in marked}

    @property
    def shown_settings(self) -> tuple[VaryingSetting, ...]:
        """The settings that a chart has room for: the most important, else the most common ones."""
        shares = self.importance.shares or [0.0] * len(self.settings)
        commonest = sorted(
            zip(shares, self.settings, strict=True),
            key=lambda pair: (-pair[0], np.isnan(pair[1].numbers()).sum(), len(pair[1].name)),
        )
        chosen = {setting.name for _, setting in commonest[:MAX_SETTINGS]}
        return tuple(setting for setting in self.settings if setting.name in chosen)


def read_report(
    name: str,
    runtime: Runtime,
    tracker: Tracker,
    *,
    baseline: str = "",
    more: Sequence[str] = (),
) -> SweepReport:
    """Return the report of the newest sweep of that name.

    `baseline` is the row with which a table compares the others; `more` are arguments of every
    command that repeats a trial. Raises UserError if there is no such sweep or row.
    """
    sweep = find_sweep_run(name, tracker, without_password(runtime.store_uri()))
    plan = plan_of(sweep, tracker)
    records = tracker.records("trial", fingerprints=list(plan.trials))
    evaluated = tracker.records("evaluate", fingerprints=list(plan.trials))
    pretrained = _pretrained(tracker, sweep, evaluated)
    is_search, lower = bool(plan.searches), TableSpec().prefers_lower(plan.metric)
    trials = trial_facts(plan, records)
    ordered = report_order(trials, is_search, lower)
    done = [trial for trial in trials if trial.has_score]
    settings = varying_settings([trial.settings for trial in done])
    table = None
    if done and not is_search:
        table = tabulate(plan, TableSpec(baseline=baseline), tracker, scene_reader(runtime.out))
    return SweepReport(
        name=plan.name,
        question=sweep.tags.get(NOTE, "").strip(),
        metric=plan.metric,
        lower_is_better=lower,
        is_search=is_search,
        sweep=sweep,
        store=without_password(runtime.store_uri()),
        trials=trials,
        table=table,
        settings=settings,
        importance=_importance(settings, done, is_search),
        cost=cost_unit(DEVICE_TIME if has_hours(records) else CLOCK_TIME, trials),
        points=score_at_cost(done, is_search, lower),
        curves=read_curves(ordered, evaluated, pretrained, tracker),
        device_hours=sum(device_hours_of(run.metrics) for run in (*evaluated, *pretrained)),
        environment=environment(trials),
        repeats=_repeats(ordered, is_search, more),
    )


def _pretrained(
    tracker: Tracker, sweep: RunRecord, evaluated: Sequence[RunRecord]
) -> list[RunRecord]:
    """Return the pretrainings that the sweep's trials made or reused, each once."""
    used = {run.tags[PRETRAINED] for run in evaluated if PRETRAINED in run.tags}
    found = [
        *tracker.records("pretrain", {SWEEP_RUN: sweep.run_id}),
        *(tracker.records("pretrain", fingerprints=list(used)) if used else []),
    ]
    return list(best_status_run({run.run_id: run for run in found}.values()).values())


def _importance(
    settings: Sequence[VaryingSetting], trials: Sequence[TrialFacts], is_search: bool
) -> Importance:
    """Return the importance over configurations; an ablation's seeds are averaged first."""
    groups: dict[str, list[int]] = {}
    for index, trial in enumerate(trials):
        groups.setdefault(trial.fingerprint if is_search else trial.row, []).append(index)
    first = [indices[0] for indices in groups.values()]
    scores = [statistics.fmean(trials[i].score for i in indices) for indices in groups.values()]
    return importance(of_trials(settings, first), np.array(scores))


def _repeats(
    trials: Sequence[TrialFacts], is_search: bool, more: Sequence[str]
) -> tuple[Repeat, ...]:
    groups: dict[str, list[TrialFacts]] = {}
    for trial in trials:
        if trial.record is not None:
            groups.setdefault(trial.name if is_search else trial.row, []).append(trial)
    repeats = []
    for name, group in groups.items():
        found = [one for trial in group if (one := reproduce_command(trial.settings)) is not None]
        command = ""
        if len(found) == len(group):
            command = shell_command(found, [trial.seed for trial in group], more)
        run_ids = tuple(trial.record.run_id for trial in group if trial.record)
        repeats.append(Repeat(name, command, run_ids))
    return tuple(repeats)
