"""Learning curves of a sweep's trials, from the histories of their pretrainings and evaluations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from olivine.methods.objective import primary_term
from olivine.results.sweep_report.trials import TrialFacts
from olivine.tracking.tracker import PARENT, RunRecord, Tracker, best_status_run
from olivine.training.evaluate import PRETRAINED
from olivine.training.probe import PROBE_MIOU

MAX_METHODS = 24  # largest number of lines with a style of their own
NUM_NAMED = 5  # of a search's trials
COLUMNS = ("method", "seed", "step", "value")


@dataclass(frozen=True)
class Curves:
    """One quantity over the steps of all runs that have it."""

    name: str
    title: str
    ylabel: str
    lines: pd.DataFrame  # method, seed, step, value
    named: tuple[str, ...]  # methods with a style, also those without a line here
    note: str = ""


@dataclass(frozen=True)
class _Line:
    """The run of a curve, and its method."""

    method: str
    seed: int
    run: RunRecord


def read_curves(
    trials: Sequence[TrialFacts],
    evaluated: Sequence[RunRecord],
    pretrained: Sequence[RunRecord],
    tracker: Tracker,
) -> tuple[Curves, ...]:
    """Return the curves of every quantity that some run logged, unfinished runs included.

    `trials` are in the order of the report. A pretraining that several rows share has one line,
    with the first row's name; only the first trials of a search have styles.
    """
    is_search = any(trial.number for trial in trials)
    methods = tuple(dict.fromkeys(map(_method, trials)))
    named = methods if is_search else methods[:MAX_METHODS]
    before = _pretrainings(trials, evaluated, pretrained)
    after = _evaluations(trials, evaluated)
    on_labelled = "On batches of the labelled training scenes."
    found = (
        Curves(
            "loss",
            "Pretraining: loss",
            "loss / its median",
            _relative(before, tracker),
            named,
            "Each pretraining is shown by one term: that of pixels, else its first by name. Terms "
            "differ in scale, so each is divided by its median.",
        ),
        Curves(
            "probe-miou",
            "Pretraining: probe of its features",
            "probe mIoU (%)",
            _read(before, f"pretrain/{PROBE_MIOU}", tracker),
            named,
            "By a linear classifier in closed form, on other scenes of the training split.",
        ),
        *(
            Curves(
                stage,
                f"{title}: cross-entropy",
                "cross-entropy",
                _read(after, f"{stage}/cross_entropy", tracker),
                named,
                on_labelled,
            )
            for stage, title in (("probe", "Linear probe"), ("finetune", "Fine-tuning"))
        ),
    )
    found = tuple(curves for curves in found if len(curves.lines))
    return tuple(map(_only_first, found)) if is_search else found


def _only_first(curves: Curves) -> Curves:
    """Keep a style only for the first trials with a line, as many as have room."""
    there = set(curves.lines["method"])
    named = [name for name in curves.named if name in there]
    return replace(curves, named=tuple(named[:NUM_NAMED]))


def _pretrainings(
    trials: Sequence[TrialFacts], evaluated: Iterable[RunRecord], pretrained: Iterable[RunRecord]
) -> list[_Line]:
    by_print = {run.key.fingerprint: run for run in pretrained}
    by_parent = {run.tags[PARENT]: run for run in by_print.values() if PARENT in run.tags}
    used = {run.key.fingerprint: run.tags.get(PRETRAINED, "") for run in evaluated}
    lines: dict[str, _Line] = {}
    for trial in trials:
        run = by_print.get(used.get(trial.fingerprint, ""))
        if run is None and trial.record is not None:
            run = by_parent.get(trial.record.run_id)
        if run is not None:
            lines.setdefault(run.run_id, _Line(_method(trial), trial.seed, run))
    return list(lines.values())


def _evaluations(trials: Sequence[TrialFacts], evaluated: Iterable[RunRecord]) -> list[_Line]:
    runs = best_status_run(evaluated)
    return [
        _Line(_method(trial), trial.seed, runs[trial.fingerprint])
        for trial in trials
        if trial.fingerprint in runs
    ]


def _method(trial: TrialFacts) -> str:
    return trial.name if trial.number else trial.row


def _read(lines: Sequence[_Line], metric: str, tracker: Tracker) -> pd.DataFrame:
    histories = tracker.histories([line.run.run_id for line in lines], metric) if lines else {}
    points = [
        (line.method, line.seed, step, value)
        for line in lines
        for step, value in histories.get(line.run.run_id, {}).items()
    ]
    return pd.DataFrame(points, columns=list(COLUMNS))


def _relative(lines: Sequence[_Line], tracker: Tracker) -> pd.DataFrame:
    """Return a loss of every pretraining over its median, since the first value may be zero."""
    terms: dict[str, list[_Line]] = {}
    for line in lines:
        term = primary_term(line.run.metrics)
        if term is not None:
            terms.setdefault(term, []).append(line)
    parts = []
    for term, some in terms.items():
        part = _read(some, f"pretrain/{term}", tracker)
        usual = part.groupby(["method", "seed"])["value"].transform("median").abs()
        parts.append(part.assign(value=part["value"] / usual.where(usual > 0, 1.0)))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    order = list(dict.fromkeys(line.method for line in lines))
    whole = pd.concat(parts, ignore_index=True)
    return whole.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
