"""Converts the arguments of a caller to the experiment and the runtime of a stage."""

from collections.abc import Iterable, Mapping
from typing import Any

from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings
from olivine.experiments import recipes
from olivine.training.config import EvaluateConfig, PretrainConfig

Settings = Mapping[str, Any] | Iterable[str]  # {"seed": 1}, or ["seed=1"] as --set takes it
Experiment = str | EvaluateConfig | PretrainConfig  # the name of a recipe, or a value

NO_SETTINGS: Mapping[str, Any] = {}
_OF_RUNTIME = "runtime."


def resolved_pretraining(
    experiment: Experiment, settings: Settings, runtime: Runtime | None
) -> tuple[PretrainConfig, Runtime]:
    """Return a pretraining with changed settings, and its runtime."""
    if isinstance(experiment, PretrainConfig):
        from olivine.training.pretrain import PretrainSettings

        changes, of_runtime = split_settings(settings)
        config = PretrainSettings(pretrained=experiment).override(changes).pretrained
        return config, (runtime or Runtime()).override(of_runtime)
    whole, runtime = resolved(experiment, settings, runtime)
    return whole.pretrained, runtime


def resolved(
    experiment: str | EvaluateConfig, settings: Settings, runtime: Runtime | None
) -> tuple[EvaluateConfig, Runtime]:
    """Return an experiment with changed settings, and its runtime."""
    changes, of_runtime = split_settings(settings)
    config = recipes.recipe(experiment) if isinstance(experiment, str) else experiment
    return config.override(changes), (runtime or Runtime()).override(of_runtime)


def split_settings(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the experiment, and those of the runtime without their prefix."""
    given = settings if isinstance(settings, Mapping) else parse_settings(_texts(settings))
    of_runtime = {
        name.removeprefix(_OF_RUNTIME): value
        for name, value in given.items()
        if name.startswith(_OF_RUNTIME)
    }
    rest = {name: value for name, value in given.items() if not name.startswith(_OF_RUNTIME)}
    return rest, of_runtime


def _texts(settings: Iterable[str]) -> list[str]:
    return [settings] if isinstance(settings, str) else list(settings)
