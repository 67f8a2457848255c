"""The plan of a sweep, as its run records it."""

from collections.abc import Iterable, Sequence

from pydantic import Field

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.experiments.sweep import Sweep, Trial
from olivine.tracking.tracker import RunRecord

# Tags of the runs below a sweep's run: the sweep's name and run, and a trial's row, seed and point.
SWEEP, SWEEP_RUN = "olivine.sweep", "olivine.sweep_run"


ROW, SEED, POINT = "olivine.row", "olivine.seed", "olivine.point"


OLD_SWEEP = (
    " The earlier one is of a version before 0.3, which knew data by their tables and not by their "
    "files: its trials stay in tables and are not reused."
)
GAVE_UP = "The search gave it up"  # start of the reason of a trial that a search stopped


class PlannedTrial(Spec):
    """A trial as the run of its sweep records it."""

    row: str = Field(description="Name of the trial's row in the sweep.")
    seed: int = Field(description="Seed of the trial.")


class SweepPlan(Spec):
    """The trials of a sweep, as the run of the sweep records them; a table is made from them alone.

    The trials of a search are not known before it runs: its plan identifies the space and the base
    configuration, and `with_found` adds the trials that were run.
    """

    name: str = Field(description="Name of the sweep.")
    metric: str = Field(description="Metric that the sweep compares.")
    published: str = Field(
        default="", description="Name of the published table shown beside it; empty means none."
    )
    searches: str = Field(
        default="",
        description="Fingerprints of a search's space, base and seed; empty for an ablation.",
    )
    trials: dict[str, PlannedTrial] = Field(
        description="Row and seed of each trial, by its fingerprint."
    )

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
        """Return the plan with the trials of a search's runs, oldest first; an ablation's stays."""
        if not self.searches:
            return self
        found = {
            run.key.fingerprint: PlannedTrial(row=run.tags[ROW], seed=int(run.tags[SEED]))
            for run in sorted(trials, key=lambda run: int(run.tags.get(POINT, 0)))
        }
        return self.model_copy(update={"trials": found})

    @classmethod
    def read(cls, record: RunRecord) -> "SweepPlan":
        """Return the plan in the settings of a sweep's run."""
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
        """Return one plan of several sweeps' trials, with the metric of the first."""
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


def require_same_contents(
    plan: SweepPlan, earlier: Iterable[SweepPlan], *, is_old: bool = False
) -> None:
    """Raise UserError if a sweep of this name has other contents for the same row and seed.

    `is_old` says that an earlier one is of a version before 0.3.
    """
    mine = {(trial.row, trial.seed): fingerprint for fingerprint, trial in plan.trials.items()}
    for other in earlier:
        if other.name != plan.name or other == plan:
            continue
        what = "its space or its base configuration was another"
        differs = bool(plan.searches or other.searches)
        for fingerprint, trial in other.trials.items():
            if mine.get((trial.row, trial.seed), fingerprint) != fingerprint:
                what, differs = f"its row {trial.row!r}, seed {trial.seed}, was another", True
                break
        if differs:
            raise UserError(
                f"There is a sweep {plan.name!r} in this store with other contents ({what}: other "
                "settings, data, labels or another version of this code): give this one a name of "
                "its own by --as NAME, so that no table mixes them." + (OLD_SWEEP if is_old else "")
            )
