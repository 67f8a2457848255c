"""A question as a value: which configurations, over which seeds, compared by which number.

Pure: every point is expanded and checked here, before anything is started. A sweep lives in
`sweeps/<name>.py` as `SWEEP`; the folder is the registry. There are two kinds, never mixed: one
*ablates*, so every point has all seeds and the whole budget, or it *searches*, so points follow
from earlier ones and hopeless ones stop early. Only the first makes a table.
"""

import importlib
import itertools
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from olivine.errors import UserError, nearest
from olivine.search_space import Search
from olivine.spec import Spec
from olivine.tracking import RunRecord

# Tags of the runs below a sweep's: its name and run, and what a trial is in it.
SWEEP, SWEEP_RUN = "olivine.sweep", "olivine.sweep_run"
ROW, SEED, POINT = "olivine.row", "olivine.seed", "olivine.point"
GAVE_UP = "The search gave it up"  # how the reason of a trial begins that is not run again


class Sweep(Spec):
    """Rows or a grid of settings, all repeated over seeds, or a search; names as `--set` has them.

    `published` names the table in `published.csv` whose rows stand beside this one's.
    """

    name: str
    question: str  # the docstring of its file
    metric: str  # what the table is about
    recipe: str  # the configuration that rows and grid change
    rows: dict[str, dict[str, Any]] = Field(default_factory=dict)  # label -> {dotted name: value}
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)  # dotted name -> values
    search: Search | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    seed_names: tuple[str, ...] = ("seed",)  # the settings that take the seed
    published: str = ""  # empty: its own name

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
    """What a sweep was asked for, in the run of the sweep: a table is made from it alone.

    The trials of a search are not known before it runs: its plan says what it searches, from which
    configuration, and `with_found` adds what was tried.
    """

    name: str
    metric: str
    published: str = ""  # the table in print beside which it is shown
    searches: str = ""  # of a search: fingerprint of what it searches, and from where
    trials: dict[str, PlannedTrial]  # fingerprint -> row and seed

    @classmethod
    def of(cls, sweep: Sweep, trials: Sequence[Trial], base: Spec | None = None) -> "SweepPlan":
        """Return the plan of expanded trials, or of a search that starts from `base`."""
        searches = ""
        if sweep.search is not None:
            assert base is not None, "a search starts from a configuration"
            searches = f"{sweep.search.fingerprint()}/{base.fingerprint()}/{sweep.seeds[0]}"
        return cls(
            name=sweep.name,
            metric=sweep.metric,
            published=sweep.published or sweep.name,
            searches=searches,
            trials={t.fingerprint: PlannedTrial(row=t.row, seed=t.seed) for t in trials},
        )

    def with_found(self, trials: Iterable[RunRecord]) -> "SweepPlan":
        """Return the plan with the trials of its runs, oldest first; of an ablation itself."""
        if not self.searches:
            return self
        found = {
            run.key.fingerprint: PlannedTrial(row=run.tags[ROW], seed=int(run.tags[SEED]))
            for run in sorted(trials, key=lambda run: int(run.tags.get(POINT, 0)))
        }
        return self.model_copy(update={"trials": found})

    @classmethod
    def read(cls, record: RunRecord) -> "SweepPlan":
        """Return the plan that a sweep's run holds in its settings."""
        trials: dict[str, dict[str, str]] = {}
        for name, text in record.settings.items():
            if name.startswith("trials."):
                _, fingerprint, setting = name.split(".")
                trials.setdefault(fingerprint, {})[setting] = text
        names = ("name", "metric", "published", "searches")
        settings = {name: record.settings[name] for name in names if name in record.settings}
        return cls.from_dict({**settings, "trials": trials})

    @classmethod
    def joined(cls, plans: Sequence["SweepPlan"]) -> "SweepPlan":
        """Return one plan of several sweeps' trials; its metric is the first one's."""
        trials = dict[str, PlannedTrial]()
        for plan in plans:
            for fingerprint, trial in plan.trials.items():
                trials.setdefault(fingerprint, trial)
        published = dict.fromkeys(plan.published or plan.name for plan in plans)
        return cls(
            name=", ".join(plan.name for plan in plans),
            metric=plans[0].metric,
            published=",".join(published),
            searches=",".join(plan.searches for plan in plans if plan.searches),
            trials=trials,
        )

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


@dataclass(frozen=True)
class Question:
    """A sweep ready to be asked: its trials, or what a search starts from.

    `identify` gives a configuration's fingerprint, `shared_work` that of the part of it that other
    trials may share, empty where nothing is shared.
    """

    sweep: Sweep
    trials: Sequence[Trial]
    base: Spec
    identify: Callable[[Any], str] = Spec.fingerprint
    shared_work: Callable[[Any], str] = lambda config: ""

    @property
    def plan(self) -> SweepPlan:
        """What the sweep's run will remember."""
        return SweepPlan.of(self.sweep, self.trials, self.base)


def check_name(plan: SweepPlan, earlier: Iterable[SweepPlan]) -> None:
    """Raise UserError if a sweep of this name asked something else of the same row and seed."""
    mine = {(trial.row, trial.seed): fingerprint for fingerprint, trial in plan.trials.items()}
    for other in earlier:
        if other.name != plan.name or other == plan:
            continue
        what = "it searches something else or from other settings"
        differs = bool(plan.searches or other.searches)
        for fingerprint, trial in other.trials.items():
            if mine.get((trial.row, trial.seed), fingerprint) != fingerprint:
                what, differs = f"its row {trial.row!r}, seed {trial.seed}, was another", True
                break
        if differs:
            raise UserError(
                f"There is a sweep {plan.name!r} in this store with other contents ({what}: other "
                "settings, data, labels or another version of this code): give this one a name of "
                "its own by --as NAME, so that no table mixes them."
            )


def expand(
    sweep: Sweep, base: Spec, identify: Callable[[Any], str] = Spec.fingerprint
) -> tuple[Trial, ...]:
    """Return every trial, each configuration checked; all rows of one seed come together.

    `identify` gives a trial's fingerprint; one that also covers the data and labels that a
    configuration reads makes trials on other data other trials. Raises UserError that names the
    row of a misspelt setting, a bad value or a repeated point.
    """
    if sweep.search is not None:
        _check_search(sweep, base)
        return ()
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


def point_of(
    sweep: Sweep,
    base: Spec,
    settings: Mapping[str, Any],
    identify: Callable[[Any], str] = Spec.fingerprint,
) -> Trial:
    """Return the trial of one point of a search."""
    seed = sweep.seeds[0]
    config = base.override({**settings, **dict.fromkeys(sweep.seed_names, seed)})
    names = _short_names(list(settings))
    row = ", ".join(f"{names[name]}={_short(value)}" for name, value in settings.items())
    return Trial(row, seed, config, identify(config))


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Return the shortest end of each dotted name that no other one ends with."""
    short = {}
    for name in names:
        parts = name.split(".")
        ends = [".".join(parts[place:]) for place in reversed(range(len(parts)))]
        alone = (e for e in ends if sum(f".{other}".endswith(f".{e}") for other in names) == 1)
        short[name] = next(alone, name)
    return short


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _check_search(sweep: Sweep, base: Spec) -> None:
    """Raise UserError for a range that leaves what a setting takes; each is tried by itself."""
    search = sweep.search
    assert search is not None
    if sweep.rows or sweep.grid:
        raise UserError(
            f"Sweep {sweep.name!r} has a search beside rows or a grid: an ablation gives every "
            "point the whole budget and a search does not, so make them two sweeps."
        )
    if len(sweep.seeds) != 1:
        raise UserError(
            f"Sweep {sweep.name!r} searches with one seed, and {len(sweep.seeds)} were given: "
            "compare the best points by a sweep with rows."
        )
    for name, values in search.space.items():
        for value in values.extremes:
            try:
                base.override({name: value, **dict.fromkeys(sweep.seed_names, sweep.seeds[0])})
            except UserError as error:
                raise UserError(f"Sweep {sweep.name!r}, search over {name!r}: {error}") from None


def _points(sweep: Sweep) -> dict[str, dict[str, Any]]:
    if not (sweep.rows or sweep.grid):
        raise UserError(f"Sweep {sweep.name!r} has neither rows nor a grid nor a search.")
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
