"""A sweep ready to run: found by its name, its rows chosen, its trials expanded."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.data.identity.file_lists import keep_file_lists
from olivine.experiments.requests import SweepRequest
from olivine.experiments.sweep import Sweep, Trial, expand, point_of
from olivine.experiments.sweep_files import find_sweep
from olivine.experiments.sweep_plan import SweepPlan
from olivine.tracking.tracker import Tracker
from olivine.training.config import EvaluateConfig
from olivine.training.experiment_data import ExperimentData, Identities, OpenedData


def no_tags(config: Spec) -> dict[str, str]:
    """Return no tags."""
    return {}


@dataclass(frozen=True)
class ExpandedSweep:
    """A sweep ready to run: its trials, or the configuration from which a search starts.

    `identify` returns the fingerprint of a configuration. `shared_work` returns the fingerprint of
    the part of it that other trials may share (the pretraining), or "" if nothing is shared.
    `opened` are the data sets of the trials, and `unused` returns why a finished run of a
    configuration's settings is not reused, or "".
    `tags_of` returns what a trial's run is marked with, or raises UserError for a configuration
    that must not be run or reused; trials' processes call it too.
    """

    sweep: Sweep
    trials: Sequence[Trial]
    base: Spec
    identify: Callable[[Any], str] = Spec.fingerprint
    shared_work: Callable[[Any], str] = lambda config: ""
    opened: OpenedData | None = None
    unused: Callable[[Any, Tracker], str] = lambda config, tracker: ""
    tags_of: Callable[[Any], Mapping[str, str]] = no_tags

    @property
    def plan(self) -> SweepPlan:
        """The plan that the sweep's run records."""
        return SweepPlan.of(self.sweep, self.trials, self.base)

    def identities(self) -> Identities:
        """Return what the trials' processes need so that none of them lists files again."""
        return self.opened.identities() if self.opened else {}

    def keep_lists(self, out: str) -> None:
        """Keep the lists of the files that the trials read, to name later what changed."""
        for identity in self.identities().values():
            keep_file_lists(Store(out), identity, identity.known_parts)


def expand_request(request: SweepRequest, base: EvaluateConfig, runtime: Runtime) -> ExpandedSweep:
    """Return the expanded sweep of a request; raise UserError as the two functions below."""
    chosen = choose_sweep(
        request.name, rows=request.rows, seeds=request.seeds, as_name=request.as_name
    )
    return expand_sweep(chosen, base, runtime)


def choose_sweep(
    sweep: str | Sweep, *, rows: Sequence[str] = (), seeds: Sequence[int] = (), as_name: str = ""
) -> Sweep:
    """Return a sweep with some of its rows, other seeds or another name; empty changes nothing.

    `sweep` is a value, a sweep's name, or the path of its file. Raises UserError for an unknown
    sweep or row.
    """
    found = find_sweep(sweep) if isinstance(sweep, str) else sweep
    return _named(found, as_name).only(rows, seeds)


def expand_sweep(chosen: Sweep, base: EvaluateConfig, runtime: Runtime) -> ExpandedSweep:
    """Return a sweep with its trials; raise UserError for a bad point or missing labels.

    So does a point that would be scored on scenes that it learns from, unless that is allowed.
    """
    from olivine.training import evaluate
    from olivine.training.data_use import why_not_reused
    from olivine.training.experiment_data import overlap_tags
    from olivine.training.pretrain import check_labels, pretraining_key

    opened = OpenedData(runtime)

    def identify(config: EvaluateConfig) -> str:
        data = ExperimentData.open(config, runtime, opened)
        return evaluate.evaluation_key(config, data).fingerprint

    def shared_work(config: EvaluateConfig) -> str:
        frames = opened.open(config.pretrained.data)
        return pretraining_key(config.pretrained, frames).fingerprint

    def unused(config: EvaluateConfig, tracker: Tracker) -> str:
        uses = evaluate.data_uses(ExperimentData.open(config, runtime, opened))
        return why_not_reused("evaluate", config, uses, tracker)

    trials = expand(chosen, base, identify)
    tags_of = functools.partial(overlap_tags, runtime=runtime, opened=opened)
    points = [(f", trial {trial.name!r}", trial.config) for trial in trials] or [("", base)]
    for which, config in points:
        assert isinstance(config, EvaluateConfig)
        try:
            tags_of(config)
        except UserError as error:
            raise UserError(f"Sweep {chosen.name!r}{which}: {error}") from None
        check_labels(config.pretrained, runtime, opened.open(config.pretrained.data))
        identify(config)  # so that the data of a search are read once, here
    return ExpandedSweep(chosen, trials, base, identify, shared_work, opened, unused, tags_of)


def first_points(expanded: ExpandedSweep) -> tuple[Trial, ...]:
    """Return the points that a search would try if it never learnt a score."""
    from olivine.experiments.point_search import PointSearch

    sweep, base, identify = expanded.sweep, expanded.base, expanded.identify
    assert sweep.search is not None
    points = PointSearch(sweep.search, sweep.seeds[0])
    drawn = [points.suggest()[1] for _ in range(sweep.search.num_points)]
    trials = [point_of(sweep, base, settings, identify) for settings in drawn]
    return tuple({trial.fingerprint: trial for trial in trials}.values())


def _named(chosen: Sweep, name: str) -> Sweep:
    if not name:
        return chosen
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(f"--as takes letters, digits, _ and -; it was given {name!r}.")
    changes = {"name": name, "published": chosen.published or chosen.name}
    return chosen.model_copy(update=changes)
