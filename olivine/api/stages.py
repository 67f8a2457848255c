"""The stages as functions: label, pretrain, evaluate, sweep."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING

from olivine.api.settings import (
    NO_SETTINGS,
    Experiment,
    Settings,
    resolved,
    resolved_pretraining,
    split_settings,
)
from olivine.core.arguments import require_type, several
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.experiments import recipes
from olivine.experiments.expanded_sweep import choose_sweep, expand_sweep
from olivine.experiments.limits import Limits
from olivine.experiments.sweep import Sweep
from olivine.labels.config import EVERY_NEW_IMAGE, Selection
from olivine.runners.launch import (
    launch_evaluation,
    launch_labelling,
    launch_pretraining,
    launch_sweep,
)
from olivine.tracking.run_store import open_run_store
from olivine.training.config import EvaluateConfig, PretrainConfig, label_configs

if TYPE_CHECKING:
    from olivine.labels.job import LabelResult
    from olivine.runners.on_ray.sweep import SweepResult
    from olivine.training.evaluate import EvaluateResult
    from olivine.training.pretrain import PretrainResult

NO_LIMITS = Limits()


def recipe(name: str, settings: Settings = NO_SETTINGS) -> EvaluateConfig:
    """Return a whole experiment by the name of its recipe, with some settings changed.

    `settings` are dotted names and values, as `--set` takes them; `olivine show NAME` prints all of
    them. Raises UserError for an unknown recipe or setting and for a wrong value.
    """
    require_type("recipe", name, str, "a recipe's name")
    changes, runtime = split_settings(settings)
    if runtime:
        raise UserError(
            f"A recipe has no setting {next(iter(runtime))!r}: give the runtime to the function "
            "that runs it, runtime=Runtime(...)."
        )
    return recipes.recipe(name).override(changes)


def label(
    experiment: Experiment,
    settings: Settings = NO_SETTINGS,
    *,
    runtime: Runtime | None = None,
    selection: Selection = EVERY_NEW_IMAGE,
) -> "tuple[LabelResult, ...]":
    """Make the weak labels and the segments that a pretraining reads; return a result for each.

    Existing labels are kept; `selection` chooses some of the other images. The other arguments and
    the errors are those of `pretrain`.
    """
    require_type("selection", selection, Selection, "a Selection of olivine.labels.config")
    pretrained, runtime = resolved_pretraining(experiment, settings, runtime)
    tracker = open_run_store(runtime)
    configs = label_configs(pretrained)
    return tuple(launch_labelling(config, runtime, tracker, selection) for config in configs)


def pretrain(
    experiment: Experiment,
    settings: Settings = NO_SETTINGS,
    *,
    runtime: Runtime | None = None,
    force: bool = False,
) -> "PretrainResult":
    """Pretrain a backbone, or return the result of a finished run of equal settings and data.

    `experiment` is the name of a recipe, a `PretrainConfig`, or an `EvaluateConfig` that contains
    one. `settings` changes it by the dotted names of `--set`, in all three cases:
    {"pretrained.seed": 1}; names that begin with "runtime." change `runtime`, which has the paths
    of data and results, and the device. The result names the weights below `runtime.out`, which
    `load_backbone(result.key.fingerprint, out=...)` reads; its `reused` describes the finished run,
    if there was one. `force` runs it again. Raises UserError for a mistake that a user can correct,
    and if an experiment's pretraining learns from scenes that the experiment scores.
    """
    config: PretrainConfig | EvaluateConfig
    if isinstance(experiment, PretrainConfig):
        config, runtime = resolved_pretraining(experiment, settings, runtime)
    else:
        config, runtime = resolved(experiment, settings, runtime)
    return launch_pretraining(config, runtime, open_run_store(runtime), force=force)


def evaluate(
    experiment: str | EvaluateConfig,
    settings: Settings = NO_SETTINGS,
    *,
    runtime: Runtime | None = None,
    force: bool = False,
) -> "EvaluateResult":
    """Pretrain, train a head with few labels and score it; finished stages are not run again.

    Arguments and errors are those of `pretrain`; `force` runs the pretraining again, too. The
    result holds the scores in percent.
    """
    config, runtime = resolved(experiment, settings, runtime)
    return launch_evaluation(config, runtime, open_run_store(runtime), force=force)


def run_sweep(
    sweep: str | Sweep,
    settings: Settings = NO_SETTINGS,
    *,
    experiment: str | EvaluateConfig | None = None,
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
    as_name: str = "",
    runtime: Runtime | None = None,
    limits: Limits = NO_LIMITS,
    force: bool = False,
    log: Callable[[str], None] = print,
) -> "SweepResult":
    """Run the unfinished trials of a sweep on Ray Tune; return all trials.

    `sweep` is a name (`components`), the path of a file that defines `SWEEP`, or a `Sweep`. Its
    points change `experiment` (default: the sweep's recipe). `rows` and `seeds` choose some;
    `as_name` is the name under which another choice is stored; `limits` ends the sweep early;
    `force` runs finished trials again. `log` receives one sentence per event. A sweep always runs
    on Ray, whatever `runtime.launcher` is. Failed trials are in the result's `failures` and raise
    nothing.
    """
    require_type("sweep", sweep, (str, Sweep), "a sweep's name, the path of its file, or a Sweep")
    require_type("as_name", as_name, str, "a name")
    require_type("limits", limits, Limits, "an olivine.Limits(...)")
    if not callable(log):
        raise UserError(f"log takes a function of one text, such as print; it was given {log!r}.")
    rows = several("rows", rows, str, "names of rows")
    numbers = several("seeds", seeds, Integral, "whole numbers, such as [0, 1, 2]")
    chosen = choose_sweep(
        sweep, rows=rows, seeds=[int(number) for number in numbers], as_name=as_name
    )
    config, runtime = resolved(
        chosen.recipe if experiment is None else experiment, settings, runtime
    )
    expanded = expand_sweep(chosen, config, runtime)
    tracker = open_run_store(runtime)
    return launch_sweep(expanded, runtime, tracker, limits=limits, force=force, log=log)
