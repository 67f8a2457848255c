"""A store of runs, written straight into MLflow's tables: hundreds of runs in a second."""

import functools
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from olivine.core.spec import Spec
from olivine.experiments.recipes import recipe
from olivine.experiments.search_space import Choice, Real, Search, Whole
from olivine.experiments.sweep import Sweep, Trial, expand, point_of
from olivine.experiments.sweep_plan import GAVE_UP, POINT, ROW, SEED, SWEEP, SWEEP_RUN, SweepPlan
from olivine.tracking.mlflow_backend.client import experiment_id, open_client
from olivine.tracking.tracker import (
    FAILURE,
    FINGERPRINT,
    IDENTITY,
    IDENTITY_VERSION,
    STAGE,
    RunKey,
    RunRecord,
)
from olivine.training.evaluate import PRETRAINED

QUESTION = "Which of them <matters>?\n\nCost: none."
PROVENANCE = {
    "git.commit": "52a846625b9acfd991737989f6ae99b340c007c5",
    "git.dirty": "false",
    "version.torch": "2.13.0",
    "hardware.cpus": "2",
}
BEGAN_S = 1.8e9
Histories = dict[str, dict[str, dict[int, float]]]  # run id -> metric -> step -> value


def fill(uri: str, records: Sequence[RunRecord], histories: Histories | None = None) -> str:
    """Write runs and what they logged into a new SQLite store; return its URI."""
    empty, experiment = _empty()
    Path(uri.removeprefix("sqlite:///")).write_bytes(empty)
    points = histories or {}
    last = {
        run.run_id: {**run.metrics, **{name: _last(line) for name, line in
                                       points.get(run.run_id, {}).items()}}
        for run in records
    }  # fmt: skip
    rows: dict[str, Iterable[tuple[Any, ...]]] = {
        "runs(run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, "
        "artifact_uri, experiment_id)": (
            (run.run_id, run.name, "", run.status, int(1000 * run.start_s), _ms(run.end_s),
             "active", "/", experiment)
            for run in records
        ),
        "tags(run_uuid, key, value)": (
            (run.run_id, name, value)
            for run in records
            for name, value in {
                **run.tags, STAGE: run.key.stage, FINGERPRINT: run.key.fingerprint
            }.items()
        ),
        "params(run_uuid, key, value)": (
            (run.run_id, name, value) for run in records for name, value in run.settings.items()
        ),
        "latest_metrics(run_uuid, key, value, timestamp, step, is_nan)": (
            (run, name, value, 1, 0, False)
            for run, metrics in last.items()
            for name, value in metrics.items()
        ),
        "metrics(run_uuid, key, value, timestamp, step, is_nan)": (
            (run, name, value, step, step, False)
            for run, lines in points.items()
            for name, line in lines.items()
            for step, value in line.items()
        ),
    }  # fmt: skip
    with sa.create_engine(uri).begin() as connection:
        cursor = connection.connection.cursor()
        for table, values in rows.items():
            marks = ", ".join("?" * (table.count(",") + 1))
            cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", list(values))
    return uri


@functools.lru_cache(maxsize=1)
def _empty() -> tuple[bytes, str]:
    """Return a store that MLflow has made, and its experiment's id; making one takes seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mlflow.db")
        open_client(f"sqlite:///{path}")
        experiment = experiment_id(f"sqlite:///{path}", "filled", None)
        return path.read_bytes(), experiment


def ablation_sweep() -> Sweep:
    """Return a sweep of three rows and two seeds at the demo's scale."""
    return Sweep(
        name="small",
        question=QUESTION,
        metric="miou",
        recipe="demo",
        rows={
            "random": {"pretrained.num_epochs": 0},
            "+ vMF": {"pretrained.method.terms.class.weight": 0.0},
            "OLIVINE": {},
        },
        seeds=(0, 1),
        seed_names=("seed", "pretrained.seed"),
    )


def write_ablation(
    folder: Path, fates: Mapping[str, str] | None = None, sweep: Sweep | None = None
) -> str:
    """Write a sweep at the demo's scale, that one if none is given, into a new store.

    `fates` gives by the name of a trial the reason why it failed; an empty one is a trial that
    runs still, "never" one that never began, and one without a fate here has finished.
    """
    sweep = sweep or ablation_sweep()
    trials = expand(sweep, recipe("demo"))
    runs = [_sweep_run(sweep, trials)]
    histories: Histories = {}
    for place, trial in enumerate(trials):
        reason = (fates or {}).get(trial.name)
        if reason == "never":
            continue
        score = 20.0 + 5 * list(sweep.rows).index(trial.row) + trial.seed
        runs += _trial_runs(trial, place, score, reason, histories)
    return fill(f"sqlite:///{folder}/mlflow.db", runs[::-1], histories)


def write_search(folder: Path, num_points: int = 120) -> str:
    """Write a search: the learning rate decides, the batch does nothing, a third fails or stops."""
    rate, epochs = "pretrained.optimiser.lr", "pretrained.num_epochs"
    space: dict[str, Real | Whole | Choice] = {
        rate: Real(low=0.01, high=1, log=True),
        epochs: Whole(low=2, high=50),
        "pretrained.method.terms.compact.weight": Real(low=0.1, high=2),
        "protocol": Choice(values=("linear_probe", "finetune")),
    }
    sweep = Sweep(
        name="wide",
        question=QUESTION,
        metric="miou",
        recipe="demo",
        search=Search(space=space, num_points=num_points),
        seeds=(0,),
        seed_names=("seed", "pretrained.seed"),
    )
    base, histories = recipe("demo"), Histories()
    runs = [_sweep_run(sweep, (), base)]
    for number in range(1, num_points + 1):
        share = number * 0.618034 % 1
        point = {
            rate: round(10 ** (-2 + 2 * share), 5),
            epochs: 2 + number * 7 % 49,
            "pretrained.method.terms.compact.weight": round(0.1 + 1.9 * (number * 0.7548 % 1), 4),
            "protocol": ("linear_probe", "finetune")[number % 2],
        }
        trial = point_of(sweep, base, point)
        score = 40 - 30 * (share - 0.6) ** 2 + 0.1 * point[epochs]
        reason = {0: f"{GAVE_UP}: probe_miou 3", 1: "CUDA out of memory"}.get(number % 10)
        made = _trial_runs(trial, number, score, reason, histories, hours=point[epochs] / 10)
        runs += [_with_tags(run, {POINT: str(number)}) for run in made]
    return fill(f"sqlite:///{folder}/mlflow.db", runs[::-1], histories)


def _sweep_run(sweep: Sweep, trials: Sequence[Trial], base: Spec | None = None) -> RunRecord:
    plan = SweepPlan.of(sweep, trials, base)
    return RunRecord(
        run_id=f"{0:032x}",
        key=RunKey("sweep", plan.fingerprint()),
        name=sweep.name,
        status="FINISHED",
        settings=plan.setting_texts(),
        metrics={},
        tags={SWEEP: sweep.name, "mlflow.note.content": sweep.question},
        start_s=BEGAN_S,
        end_s=BEGAN_S + 3600,
    )


def _trial_runs(
    trial: Trial,
    place: int,
    score: float,
    reason: str | None,
    histories: Histories,
    *,
    hours: float | None = None,
) -> Iterator[RunRecord]:
    """Yield a trial, its pretraining and, if it came so far, its evaluation."""
    number, fingerprint = 3 * place + 1, trial.fingerprint
    parent = f"{number:032x}"
    hours = 0.5 + 0.25 * place if hours is None else hours
    status = "FINISHED" if reason is None else "RUNNING" if not reason else "FAILED"
    failure = {FAILURE: reason} if reason else {}
    own = {SWEEP_RUN: f"{0:032x}", ROW: trial.row, SEED: str(trial.seed)}
    start_s, settings = BEGAN_S + place, trial.config.setting_texts()
    scores = {"miou": score, "accuracy": 2 * score, "hours": hours} if reason is None else {}

    def run(offset: int, stage: str, print_: str, tags: dict[str, str]) -> RunRecord:
        return RunRecord(
            run_id=f"{number + offset:032x}",
            key=RunKey(stage, print_),
            name=f"{stage} {trial.name}",
            status=status,
            settings=settings,
            metrics=scores if stage == "trial" else {},
            tags={IDENTITY: IDENTITY_VERSION, **PROVENANCE, **own, **tags},
            start_s=start_s,
            end_s=None if status == "RUNNING" else start_s + 3600 * hours,
        )

    yield run(0, "trial", fingerprint, failure)
    pretrained = run(1, "pretrain", f"p{fingerprint}", {"mlflow.parentRunId": parent})
    steps = range(10, 110, 10)
    histories[pretrained.run_id] = {
        "pretrain/pixel": {step: 3 * math.exp(-step / 40) + 1 for step in steps},
        "pretrain/pixel/num_pairs": dict.fromkeys(steps, 4096.0),
        "pretrain/probe_miou": {step: score * (1 - math.exp(-step / 30)) for step in steps},
        "pretrain/device_hours": {100: 0.9 * hours},
    }
    yield pretrained
    if reason is None:
        evaluated = run(2, "evaluate", fingerprint, {PRETRAINED: f"p{fingerprint}"})
        name = "probe" if settings["protocol"] == "linear_probe" else "finetune"
        histories[evaluated.run_id] = {
            f"{name}/cross_entropy": {step: 2 - step / 100 for step in steps},
            f"{name}/device_hours": {100: 0.1 * hours},
        }
        yield evaluated


def _with_tags(run: RunRecord, tags: Mapping[str, str]) -> RunRecord:
    return RunRecord(**{**vars(run), "tags": {**run.tags, **tags}})


def _last(line: Mapping[int, float]) -> float:
    return line[max(line)]


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(1000 * seconds)
