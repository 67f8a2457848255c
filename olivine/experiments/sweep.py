"""A sweep as a value: its configurations, its seeds and the metric that compares them.

Every point is expanded and checked here, before anything is started. A sweep is the constant
`SWEEP` of `sweeps/<name>.py`. There are two kinds, which are never mixed: an ablation, in which
every point has all seeds and the whole budget, and a search, whose points follow from earlier ones
and are stopped early if they are hopeless. Only an ablation makes a table.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from olivine.core.errors import UserError, nearest
from olivine.core.spec import Spec
from olivine.experiments.search_space import Search


class Sweep(Spec):
    """Rows or a grid of settings, each repeated over seeds, or a search."""

    name: str = Field(description="Name of the sweep, which is that of its file.")
    question: str = Field(
        description="The question that the sweep answers: the docstring of its file."
    )
    metric: str = Field(description="Metric that the sweep's table compares.")
    recipe: str = Field(
        description="Name of the recipe whose settings the rows and the grid change."
    )
    rows: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Settings of each row by dotted name, by the row's label."
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="Values of each setting of the grid, by its dotted name."
    )
    search: Search | None = Field(
        default=None, description="Space and budget of a search; None for rows or a grid."
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2), description="Seeds with which every row is repeated."
    )
    seed_names: tuple[str, ...] = Field(
        default=("seed",), description="Dotted names of the settings that take the seed."
    )
    published: str = Field(
        default="",
        description="Name of the table in published.csv shown beside this one; empty means the "
        "sweep's name.",
    )

    @model_validator(mode="after")
    def _check_rows(self) -> "Sweep":
        """Refuse a row without a name, and settings that the seeds would overwrite."""
        if any(not label.strip() for label in self.rows):
            raise ValueError(f"a row of the sweep {self.name!r} has an empty name; name every row")
        places = {f"row {label!r}": settings for label, settings in self.rows.items()}
        places |= {"the grid": self.grid, "the search": self.search.space if self.search else {}}
        for place, settings in places.items():
            for name in self.seed_names:
                if name in settings:
                    raise ValueError(
                        f"{place} of the sweep {self.name!r} sets {name!r}, which takes the "
                        "sweep's seed (seed_names): leave it out of one of the two"
                    )
        return self

    def only(self, rows: Iterable[str] = (), seeds: Iterable[int] = ()) -> "Sweep":
        """Return the sweep with some rows and other seeds; an empty choice keeps all."""
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
        """The trial's name for people."""
        return f"{self.row}, seed {self.seed}"


def expand(
    sweep: Sweep, base: Spec, identify: Callable[[Any], str] = Spec.fingerprint
) -> tuple[Trial, ...]:
    """Return every trial with its checked configuration; the rows of one seed are together.

    `identify` returns a trial's fingerprint. If it also covers the data and labels of a
    configuration, the same settings on other data are other trials. Raises UserError that names the
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
                f"Sweep {sweep.name!r} has one configuration twice: {twin.name!r} and "
                f"{trial.name!r} have equal settings; remove one."
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
    """Return the shortest end of each dotted name that no other name ends with."""
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
    """Raise UserError for a range beyond what a setting accepts; each setting is tried alone."""
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
