"""A question as a value: which configurations, over which seeds, compared by which number.

Pure: every point is expanded and checked here, before anything is started. A sweep lives in
`sweeps/<name>.py` as `SWEEP`; the folder is the registry.
"""

import importlib
import itertools
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from olivine.errors import UserError, nearest
from olivine.spec import Spec
from olivine.tracking import RunRecord


class Sweep(Spec):
    """Rows or a grid of settings, all repeated over seeds. Every name is one `--set` takes."""

    name: str
    question: str  # the docstring of its file
    metric: str  # what the table is about
    recipe: str  # the configuration that rows and grid change
    rows: dict[str, dict[str, Any]] = Field(default_factory=dict)  # label -> {dotted name: value}
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)  # dotted name -> values
    seeds: tuple[int, ...] = (0, 1, 2)
    seed_names: tuple[str, ...] = ("seed",)  # the settings that take the seed

    def only(self, rows: Iterable[str] = (), seeds: Iterable[int] = ()) -> "Sweep":
        """Keep some rows and replace the seeds; an empty choice keeps all."""
        chosen = {label: self.rows[_known(label, self.rows, self.name)] for label in rows}
        return self.model_copy(
            update={"rows": chosen or self.rows, "seeds": tuple(seeds) or self.seeds}
        )


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed."""

    row: str
    seed: int
    config: Spec
    fingerprint: str  # the trial's only identity

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.row}, seed {self.seed}"


class PlannedTrial(Spec):
    """A trial as its sweep's run remembers it."""

    row: str
    seed: int


class SweepPlan(Spec):
    """What a sweep was asked for, in the run of the sweep: a table is made from it alone."""

    name: str
    metric: str
    trials: dict[str, PlannedTrial]  # fingerprint -> row and seed

    @classmethod
    def of(cls, sweep: Sweep, trials: Sequence[Trial]) -> "SweepPlan":
        """Return the plan of expanded trials."""
        return cls(
            name=sweep.name,
            metric=sweep.metric,
            trials={t.fingerprint: PlannedTrial(row=t.row, seed=t.seed) for t in trials},
        )

    @classmethod
    def read(cls, record: RunRecord) -> "SweepPlan":
        """Return the plan that a sweep's run holds in its settings."""
        trials: dict[str, dict[str, str]] = {}
        for name, text in record.settings.items():
            if name.startswith("trials."):
                _, fingerprint, setting = name.split(".")
                trials.setdefault(fingerprint, {})[setting] = text
        settings = {name: record.settings[name] for name in ("name", "metric")}
        return cls.from_dict({**settings, "trials": trials})

    def rows(self) -> dict[str, list[str]]:
        """Return the fingerprints of each row, in the plan's order."""
        rows: dict[str, list[str]] = {}
        for fingerprint, trial in self.trials.items():
            rows.setdefault(trial.row, []).append(fingerprint)
        return rows


def sweep_names() -> list[str]:
    """Return every sweep: the modules of sweeps/."""
    package = importlib.import_module("sweeps")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find_sweep(name: str) -> Sweep:
    """Return the sweep of that name, importing only its file."""
    if name not in sweep_names():
        raise UserError(
            f"No sweep {name!r} in sweeps/.{nearest(name, sweep_names())} "
            f"It has: {', '.join(sweep_names())}."
        )
    sweep = importlib.import_module(f"sweeps.{name}").SWEEP
    assert isinstance(sweep, Sweep), f"sweeps/{name}.py must define SWEEP"
    assert sweep.name == name, f"sweeps/{name}.py calls its sweep {sweep.name!r}"
    return sweep


def expand(
    sweep: Sweep, base: Spec, identify: Callable[[Any], str] = Spec.fingerprint
) -> tuple[Trial, ...]:
    """Return every trial, each configuration checked; all rows of one seed come together.

    `identify` gives a trial's fingerprint; one that also covers the data and labels that a
    configuration reads makes trials on other data other trials. Raises UserError that names the
    row of a misspelt setting, a bad value or a repeated point.
    """
    points = _points(sweep)
    trials: dict[str, Trial] = {}
    for seed, (row, settings) in itertools.product(sweep.seeds, points.items()):
        try:
            config = base.override({**settings, **dict.fromkeys(sweep.seed_names, seed)})
        except UserError as error:
            raise UserError(f"Sweep {sweep.name!r}, row {row!r}: {error}") from None
        trial = Trial(row, seed, config, identify(config))
        twin = trials.setdefault(trial.fingerprint, trial)
        if twin is not trial:
            raise UserError(
                f"Sweep {sweep.name!r} asks the same twice: {twin.name!r} and {trial.name!r} "
                "have equal settings; remove one."
            )
    return tuple(trials.values())


def _points(sweep: Sweep) -> dict[str, dict[str, Any]]:
    if not (sweep.rows or sweep.grid):
        raise UserError(f"Sweep {sweep.name!r} has neither rows nor a grid.")
    if not sweep.seeds:
        raise UserError(f"Sweep {sweep.name!r} has no seeds; give it one at least.")
    for name, values in sweep.grid.items():
        if not values:
            raise UserError(f"Sweep {sweep.name!r}: the grid of {name!r} is empty.")
    points = {}
    for values in itertools.product(*sweep.grid.values()):
        chosen = dict(zip(sweep.grid, values, strict=True))
        text = ", ".join(f"{name}={value}" for name, value in chosen.items())
        for row, settings in (sweep.rows or {"": {}}).items():
            points[", ".join(filter(None, (row, text)))] = {**settings, **chosen}
    return points


def _known(label: str, rows: Mapping[str, Any], sweep: str) -> str:
    if label not in rows:
        raise UserError(
            f"Sweep {sweep!r} has no row {label!r}.{nearest(label, rows)} "
            f"It has: {', '.join(rows)}."
        )
    return label
