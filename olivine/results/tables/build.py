"""The tabulation stage: a table of finished runs with error bars, beside published numbers.

A missing result is shown with its reason, never filled in, and a published number is never part of
a mean.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from olivine.core.errors import UserError, nearest
from olivine.core.storage import Store
from olivine.data.scenes import OVERLAP_TAG, SETTINGS_READ, overlap_mark
from olivine.experiments.search_points import points_of
from olivine.experiments.sweep_plan import ROW, SEED, SWEEP, SWEEP_RUN, SweepPlan
from olivine.results.tables.cells import make_table
from olivine.results.tables.code_versions import CODE_TAGS, versions_behind
from olivine.results.tables.formats import csv, html, latex, markdown
from olivine.results.tables.published import published_tables
from olivine.results.tables.runs import TableRuns
from olivine.results.tables.scene_scores import ReadScenes
from olivine.results.tables.spec import LABELS, TableSpec
from olivine.results.tables.table import Table
from olivine.results.tables.text import lay_out
from olivine.tracking.tracker import FAILURE, IDENTITY, Columns, RunRecord, Tracker
from olivine.training.evaluate import PRETRAINED
from olivine.training.scene_counts import SceneCounts
from olivine.training.validation import confusions_name

FORMATS = ("md", "tex", "csv", "html")
ALL = "all"  # a name that stands for every trial of the store
SCORES = ("miou", "accuracy")  # default metrics of a table of scores
FILE = "ablation"  # name of a table's files, before the format

_TAGS = (
    FAILURE, IDENTITY, ROW, SEED, SWEEP, SWEEP_RUN, PRETRAINED, OVERLAP_TAG, *CODE_TAGS,
)  # fmt: skip
# What published numbers need
_FOR_PRINT = ("protocol", "train.kind", "train.scene_step", "train.frame_step", "seed")
SEARCH_NOTE = (
    "This was a search: later points depend on earlier ones and some were stopped early, so the "
    "score of the best one is biased upwards. Compare a few of them by a sweep with rows and seeds."
)


def tabulate(
    plan: SweepPlan | None, spec: TableSpec, tracker: Tracker, read_scenes: ReadScenes
) -> Table:
    """Return the table of a sweep or, without a plan, of all trials of the store.

    Metrics are those of the trials; a metric that none of them has is searched for in their
    evaluations and pretrainings. Raises UserError for an unknown row, setting or metric, or if
    nothing has finished.
    """
    for name in filter(None, spec.published.split(",")):
        if name not in published_tables():
            raise UserError(
                f"Nothing is in print of a table {name!r}."
                f"{nearest(name, published_tables())} There are: "
                f"{', '.join(published_tables())}."
            )
    if plan is None:
        trials = tracker.records("trial", columns=Columns(tags=_TAGS))
        table_runs, title, notes = TableRuns.of_store(trials), "All trials", tuple[str, ...]()
        spec = spec.model_copy(update={"metrics": spec.metrics or SCORES})
    else:
        settings = None if set(spec.by + spec.columns) - set(LABELS) else _FOR_PRINT
        read = None if settings is None else (*settings, *SETTINGS_READ)
        columns = Columns(settings=read, tags=_TAGS)
        trials = tracker.records("trial", fingerprints=plan.trials, columns=columns)
        trials = [_marked(trial, settings) for trial in trials]
        table_runs, title = TableRuns.of_sweep(trials, plan), f"{_title(plan)} {plan.name}"
        notes = (SEARCH_NOTE,) if plan.searches else ()
        spec = _of_sweep(spec, plan)
    if set(spec.metrics) - table_runs.metric_names():
        table_runs = table_runs.with_metrics(_metrics_behind(table_runs, tracker))
    behind = versions_behind({run.fingerprint for run in table_runs.finished}, tracker)
    table_runs = table_runs.with_versions(behind)
    return make_table(table_runs, spec, title, read_scenes, notes=notes)


def find_sweep_run(name: str, tracker: Tracker, store_uri: str) -> RunRecord:
    """Return the run of the newest sweep of that name; raise UserError if there is none."""
    sweeps = tracker.records("sweep")
    named = [record for record in sweeps if record.settings.get("name") == name]
    if not named:
        known = sorted({record.settings.get("name", "") for record in sweeps})
        raise UserError(
            f"No sweep {name!r} in {store_uri}; it has {', '.join(known) or 'none'}."
            f"{nearest(name, [*known, ALL])} Run `olivine sweep {name}` first, or set "
            "runtime.out or runtime.tracking_uri to where it was run."
        )
    return named[0]


def sweeps_called(
    name: str, tracker: Tracker, store_uri: str
) -> tuple[SweepPlan | None, list[RunRecord]]:
    """Return the plan of the newest sweep of a name, and its run; `ALL` trials have no plan.

    Names joined by "," are sweeps in one plan. Raises UserError if there is no such sweep.
    """
    if name == ALL:
        return None, []
    names = [one.strip() for one in name.split(",") if one.strip()] or [name]
    sweeps = [find_sweep_run(one, tracker, store_uri) for one in names]
    plans = [plan_of(sweep, tracker) for sweep in sweeps]
    return plans[0] if len(plans) == 1 else SweepPlan.joined(plans), sweeps


def plan_of(sweep: RunRecord, tracker: Tracker) -> SweepPlan:
    """Return the plan of a sweep's run, with the points that a search has run."""
    plan = SweepPlan.read(sweep)
    if not plan.searches:
        return plan
    return plan.with_found(points_of(sweep.run_id, tracker))


def write_table(folder: Path, table: Table, formats: Sequence[str] = FORMATS) -> dict[str, Path]:
    """Write a table in some of `FORMATS`; return the file of each."""
    layout, store = lay_out(table), Store(folder)
    writers = {
        "md": lambda: markdown(layout),
        "tex": lambda: latex(layout),
        "csv": lambda: csv(table),
        "html": lambda: html(layout),
    }
    for name in formats:
        if name not in writers:
            raise UserError(
                f"--format takes {', '.join(FORMATS)}; it was given {name!r}."
                f"{nearest(name, FORMATS)}"
            )
    files = {name: folder / f"{FILE}.{name}" for name in formats}
    for name, path in files.items():
        store.write(path.name, writers[name]().encode())
    return files


def scene_reader(out: str) -> ReadScenes:
    """Return a function that reads an evaluation's counts per scene below `runtime.out`."""
    store = Store(out)

    def read(fingerprint: str) -> SceneCounts | None:
        name = confusions_name(fingerprint)
        return SceneCounts.read(store, name) if store.exists(name) else None

    return read


def _marked(trial: RunRecord, settings: Collection[str] | None) -> RunRecord:
    """Return a trial whose tags have its overlap, and which keeps these settings alone."""
    if settings is None:
        return trial
    tags = {**trial.tags, OVERLAP_TAG: overlap_mark(trial.tags, trial.settings)}
    kept = {name: trial.settings[name] for name in settings if name in trial.settings}
    return replace(trial, tags=tags, settings=kept)


def _title(plan: SweepPlan) -> str:
    return "Sweeps" if ", " in plan.name else "Sweep"


def _of_sweep(spec: TableSpec, plan: SweepPlan) -> TableSpec:
    metrics = spec.metrics or (SCORES if plan.metric in SCORES else (plan.metric,))
    published = spec.published or plan.published or plan.name
    return spec.model_copy(update={"metrics": metrics, "published": published})


def _metrics_behind(table_runs: TableRuns, tracker: Tracker) -> dict[str, dict[str, float]]:
    """Return the metrics of each trial's evaluation and pretraining."""
    columns = Columns(settings=(), tags=(PRETRAINED,))
    prints = {run.fingerprint for run in table_runs.finished}
    evaluated = tracker.records("evaluate", fingerprints=prints, columns=columns)
    behind = {run.key.fingerprint: run for run in reversed(evaluated) if run.status == "FINISHED"}
    pretrained = {
        run.key.fingerprint: run.metrics
        for run in reversed(tracker.records("pretrain", columns=columns))
        if run.status == "FINISHED"
    }
    return {
        fingerprint: {**pretrained.get(run.tags.get(PRETRAINED, ""), {}), **run.metrics}
        for fingerprint, run in behind.items()
    }
