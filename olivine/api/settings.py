"""Converts the arguments of a caller to the experiment and the runtime of a stage."""

from collections.abc import Iterable, Mapping
from typing import Any

from olivine.core.arguments import require_type, several
from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings
from olivine.experiments import recipes
from olivine.experiments.requests import require_active_terms
from olivine.training.config import EvaluateConfig, PretrainConfig

Settings = Mapping[str, Any] | Iterable[str]  # {"seed": 1}, or ["seed=1"] as --set takes it
Experiment = str | EvaluateConfig | PretrainConfig  # the name of a recipe, or a value

NO_SETTINGS: Mapping[str, Any] = {}
_OF_RUNTIME = "runtime."


def resolved_pretraining(
    experiment: Experiment, settings: Settings, runtime: Runtime | None
) -> tuple[PretrainConfig, Runtime]:
    """Return a pretraining with changed settings, and its runtime."""
    runtime = checked_runtime(runtime)
    if isinstance(experiment, PretrainConfig):
        from olivine.training.pretrain import PretrainSettings

        changes, of_runtime = split_settings(settings)
        config = PretrainSettings(pretrained=experiment).override(changes).pretrained
        require_active_terms(config, changes)
        return config, runtime.override(of_runtime)
    whole, runtime = resolved(experiment, settings, runtime)
    return whole.pretrained, runtime


def resolved(
    experiment: str | EvaluateConfig, settings: Settings, runtime: Runtime | None
) -> tuple[EvaluateConfig, Runtime]:
    """Return an experiment with changed settings, and its runtime."""
    advice = ""
    if isinstance(experiment, PretrainConfig):
        advice = " A pretraining alone is a part of it: give the whole experiment."
    require_type(
        "experiment", experiment, (str, EvaluateConfig), "a recipe's name or an EvaluateConfig",
        advice,
    )  # fmt: skip
    runtime = checked_runtime(runtime)
    changes, of_runtime = split_settings(settings)
    config = recipes.recipe(experiment) if isinstance(experiment, str) else experiment
    config = config.override(changes)
    require_active_terms(config.pretrained, changes)
    return config, runtime.override(of_runtime)


def checked_runtime(runtime: Runtime | None) -> Runtime:
    """Return the runtime, by default that of all defaults; raise UserError for another type."""
    require_type("runtime", runtime, (Runtime, type(None)), "an olivine.Runtime(...)")
    return runtime or Runtime()


def split_settings(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the experiment, and those of the runtime without their prefix."""
    wanted = 'texts such as "pretrained.seed=1", or dotted names with values in a dict'
    if isinstance(settings, Mapping):
        several("settings", settings.keys(), str, wanted)
        given = settings
    else:
        given = parse_settings(several("settings", settings, str, wanted))
    of_runtime = {
        name.removeprefix(_OF_RUNTIME): value
        for name, value in given.items()
        if name.startswith(_OF_RUNTIME)
    }
    rest = {name: value for name, value in given.items() if not name.startswith(_OF_RUNTIME)}
    return rest, of_runtime
