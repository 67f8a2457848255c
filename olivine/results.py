"""What a sweep found, for people: its table, its figures and where they lie."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from olivine import figures
from olivine.config import Runtime
from olivine.datasets.nuscenes.classes import CLASS_NAMES
from olivine.errors import UserError, nearest
from olivine.evaluate import PRETRAINED, predictions_name, read_predictions
from olivine.storage import Store
from olivine.sweep import SweepPlan
from olivine.tabulate import write_ablation
from olivine.tracking import Tracker

METRICS = ("miou", "accuracy")


@dataclass(frozen=True)
class Results:
    """The files of one sweep's results, and the table as text."""

    table: str
    files: tuple[Path, ...]


def write_results(sweep_name: str, runtime: Runtime, tracker: Tracker, folder: Path) -> Results:
    """Write the newest sweep of that name as ablation.csv, ablation.md and figures.

    Raises UserError if there is no such sweep in the store, or nothing of it has finished.
    """
    sweeps = tracker.records("sweep")
    named = [record for record in sweeps if record.settings.get("name") == sweep_name]
    if not named:
        known = sorted({record.settings.get("name", "") for record in sweeps})
        raise UserError(
            f"No sweep {sweep_name!r} in {runtime.store_uri()}; it has "
            f"{', '.join(known) or 'none'}.{nearest(sweep_name, known)} Run `olivine sweep "
            f"{sweep_name}` first."
        )
    plan, trials = SweepPlan.read(named[0]), tracker.records("trial")
    metrics = METRICS if plan.metric in METRICS else (plan.metric,)
    csv, markdown = write_ablation(folder, trials, plan, metrics)
    files = [csv, markdown, _draw_bars(folder, csv, plan), *_draw_errors(folder, runtime, plan)]
    curves = _draw_curves(folder, tracker, plan)
    return Results(markdown.read_text(), (*files, *curves))


def _draw_bars(folder: Path, csv: Path, plan: SweepPlan) -> Path:
    table = pd.read_csv(csv)
    label = {"miou": "mIoU of the validation split (%)"}.get(plan.metric, plan.metric)
    return figures.score_bars(folder / "scores.png", table, plan.metric, label=label)


def _draw_errors(folder: Path, runtime: Runtime, plan: SweepPlan) -> list[Path]:
    """Draw the same frame under the first row and the last, the sweep's two ends, in one seed."""
    store, rows = Store(runtime.out), plan.rows()
    chosen: dict[str, Mapping[str, np.ndarray]] = {}
    for row in (next(iter(rows)), list(rows)[-1]):
        names = [predictions_name(fingerprint) for fingerprint in rows[row]]
        found = [name for name in names if store.exists(name)]
        if found:
            chosen[row] = read_predictions(store, found[0])
    if not chosen:
        return []
    first = next(iter(chosen.values()))
    predictions = {row: arrays["predicted"] for row, arrays in chosen.items()}
    return [
        figures.error_figure(
            folder / "errors.png", first["xyz_m"], first["truth"], predictions, CLASS_NAMES
        )
    ]


def _draw_curves(folder: Path, tracker: Tracker, plan: SweepPlan) -> list[Path]:
    """Draw a loss of every pretraining over seeds, under the first row that used it."""
    pretrained = {run.key.fingerprint: run for run in tracker.records("pretrain")}
    used: dict[str, tuple[str, int]] = {}
    evaluated = {
        run.key.fingerprint: run.tags.get(PRETRAINED, "") for run in tracker.records("evaluate")
    }
    for row, fingerprints in plan.rows().items():
        for fingerprint in fingerprints:
            used.setdefault(evaluated.get(fingerprint, ""), (row, plan.trials[fingerprint].seed))
    lines: list[tuple[str, int, int, float]] = []
    for fingerprint, (row, seed) in used.items():
        run = pretrained.get(fingerprint)
        term = _shown_term(run.metrics) if run is not None else None
        if run is None or term is None:
            continue
        history = sorted(tracker.history(run.run_id, f"pretrain/{term}").items())
        usual = abs(float(np.median([value for _, value in history]))) or 1.0
        lines += [(f"{row}: {term}", seed, step, value / usual) for step, value in history]
    if not lines:
        return []
    curves = pd.DataFrame(lines, columns=["method", "seed", "step", "value"])
    return [figures.learning_curves(folder / "learning.png", curves, "loss / its median")]


def _shown_term(metrics: Mapping[str, float]) -> str | None:
    """Return the term that stands for a pretraining: that of pixels, else its first by name.

    One is drawn because they differ in scale and a class term joins in later. Divided by its
    median, since the first value of a loss with an empty queue is zero.
    """
    counted = [re.fullmatch(r"pretrain/([^/]+)/num_pairs", name) for name in sorted(metrics)]
    terms = [found[1] for found in counted if found and f"pretrain/{found[1]}" in metrics]
    return min(terms, key=lambda term: term != "pixel", default=None)
