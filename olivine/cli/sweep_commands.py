"""`olivine sweep` and `olivine reproduce`: questions asked, and a paper's tables made again."""

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError, nearest
from olivine.core.runtime import Runtime
from olivine.experiments.limits import Limits
from olivine.experiments.question import Question, _row_names, first_points, question_of
from olivine.experiments.sweep_files import find_sweep
from olivine.results.paper_tables import JOINT, OF_CLASSES, SEMANTIC_KITTI, TABLES, _rows_of
from olivine.results.tables.spec import TableSpec
from olivine.tracking.tracker import Columns, Tracker
from olivine.training.scene_counts import IOU

if TYPE_CHECKING:
    from olivine.runners.on_ray.sweep import SweepOutcome


def sweep(arguments: Namespace) -> int:
    """Run a sweep, or with --dry-run say what it would run."""
    from olivine.cli.settings import open_tracker, resolve

    base, runtime = resolve(arguments, find_sweep(arguments.name).recipe)
    question = question_of(arguments, base, runtime)
    tracker = open_tracker(runtime)
    if arguments.dry_run:
        return _dry_run(question, runtime, tracker)
    return ask(question, runtime, tracker, arguments)


def reproduce(arguments: Namespace) -> int:
    """Run what is missing of a paper's table, then write it; 1 if a part of it is missing."""
    if arguments.table not in TABLES:
        raise UserError(
            f"No {arguments.table!r} to reproduce.{nearest(arguments.table, TABLES)} There are "
            f"{', '.join(TABLES)}."
        )
    from olivine.cli.settings import INCOMPLETE

    status, settings, asked = 0, arguments.set, list[str]()
    rows = _rows_of(arguments.table, _row_names(arguments.rows))
    for name in TABLES[arguments.table]:
        if not rows[name]:
            continue
        arguments.name, arguments.of_classes = name, arguments.table in OF_CLASSES
        arguments.rows = ";".join(rows[name])
        arguments.set = [*settings, *_roots(name, arguments.semantic_kitti)]
        if name == SEMANTIC_KITTI and not any(s.startswith("val.root=") for s in arguments.set):
            _tell(
                f"{arguments.table}: left out is {name}, which reads another data set: give "
                "--semantic-kitti FOLDER"
            )
            status = max(status, INCOMPLETE)
            continue
        _tell(f"{arguments.table}: olivine sweep {name}")
        status = max(status, sweep(arguments))
        asked.append(name)
    arguments.set = settings
    if arguments.table in JOINT and not arguments.dry_run:
        _write_joint(arguments, asked)
    return status


def _write_joint(arguments: Namespace, names: list[str]) -> None:
    """Write the sweeps that were asked as the one table that they are in print."""
    from olivine.cli.settings import open_tracker, resolve

    _, runtime = resolve(arguments)
    tracker = open_tracker(runtime)
    there = {run.settings.get("name") for run in tracker.records("sweep")}
    joint = ",".join(name for name in names if name in there)
    if joint and not is_bucket(runtime.out):
        _write_table(joint, runtime, tracker, JOINT[arguments.table], folder=arguments.table)


def _roots(name: str, semantic_kitti: str) -> list[str]:
    """Return the settings that say where a sweep's other data set lies."""
    if name != SEMANTIC_KITTI or not semantic_kitti:
        return []
    return [f"{split}.root={semantic_kitti}" for split in ("train", "val")]


def ask(question: Question, runtime: Runtime, tracker: Tracker, arguments: Namespace) -> int:
    """Run a question's missing trials, then show its table."""
    from olivine.cli.settings import INCOMPLETE, OK, say
    from olivine.runners import launch

    outcome = launch.sweep(
        question,
        runtime,
        tracker,
        limits=_limits(arguments),
        force=arguments.force,
        say=_tell,
    )
    _tell_outcome(question, outcome)
    name = question.sweep.name
    if outcome.finished and not question.sweep.search and not is_bucket(runtime.out):
        spec = _of_classes(outcome) if getattr(arguments, "of_classes", False) else TableSpec()
        folder = f"{name}_classes" if spec.metrics else ""
        _write_table(name, runtime, tracker, spec, folder)
    following = f"report {name}" if question.sweep.search else f"table {name}"
    words = Namespace(recipe=None, config=arguments.config, set=arguments.set)
    say(f"Runs: {runtime.store_uri()}", following, words)
    return INCOMPLETE if outcome.failures or outcome.limit else OK


def _tell_outcome(question: Question, outcome: "SweepOutcome") -> None:
    for name, reason in outcome.failures.items():
        _tell(f"Failed: {name}: {reason}")
    gave_up = f", {outcome.gave_up} given up early" if question.sweep.search else ""
    _tell(
        f"{len(outcome.finished)} of {len(outcome.plan.trials)} trials are finished, "
        f"{outcome.num_reused} of them before{gave_up}; {outcome.gpu_hours:.3g} hours of devices "
        "taken now."
    )
    if outcome.limit:
        _tell(f"It ended before its last trial: {outcome.limit}. The same command goes on.")


def _of_classes(outcome: "SweepOutcome") -> TableSpec:
    """Return a table of the mean and of every class that the finished trials have a score of."""
    scores = dict.fromkeys(name for run in outcome.finished.values() for name in run.metrics)
    return TableSpec(metrics=("miou", *(name for name in scores if name.startswith(IOU))))


def _write_table(
    name: str, runtime: Runtime, tracker: Tracker, spec: TableSpec, folder: str = ""
) -> None:
    from olivine.results.tables.write import write_results

    place = Path(runtime.out, "tables", folder or name)
    results = write_results(name, runtime, tracker, place, spec=spec)
    _tell(results.table)
    _tell(f"Wrote {', '.join(str(path) for path in results.files)}")
    results.keep(tracker)


def _dry_run(question: Question, runtime: Runtime, tracker: Tracker) -> int:
    from olivine.experiments.estimate import estimate

    search = question.sweep.search
    if search is not None:
        _tell(f"A search of {search.num_points} points, {' and '.join(search.goals)} as goals:")
        for name, values in search.space.items():
            _tell(f"  {name}: {values.to_dict()}")
        question = replace(question, trials=first_points(question))
        num_drawn = min(search.num_random, search.num_points)
        _tell(f"It begins with the first {num_drawn} of these; scores decide what follows:")
    prints = [trial.fingerprint for trial in question.trials]
    trials = tracker.records("trial", fingerprints=prints, columns=Columns((), (), ()))
    finished = {run.key.fingerprint for run in trials if run.status == "FINISHED"}
    stages = [
        [run for run in tracker.records(stage) if run.status == "FINISHED"]
        for stage in ("pretrain", "evaluate")
    ]
    done = {run.key.fingerprint for run in stages[0]}
    first: dict[str, str] = {}
    for trial in question.trials:
        work = question.shared_work(trial.config)
        note = ""
        if trial.fingerprint in finished:
            note = "finished before"
        elif work in done:
            note = "its pretraining is there"
        elif work in first:
            note = f"shares the pretraining of {first[work]}"
        elif work:
            first[work] = trial.name
        _tell(f"{trial.fingerprint}  {trial.name}{f'  ({note})' if note else ''}")
    for line in estimate(question, finished, *stages).lines(runtime.usd_per_gpu_hour):
        _tell(line)
    if search is not None and search.stop_on:
        _tell("That is if every point comes to its end; those that are given up take less.")
    return 0


def _limits(arguments: Namespace) -> Limits:
    return Limits.from_dict(
        {
            "max_trials": arguments.max_trials,
            "max_gpu_hours": arguments.max_gpu_hours,
            "max_usd": arguments.max_cost,
            "max_hours": arguments.max_hours,
        }
    )


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
