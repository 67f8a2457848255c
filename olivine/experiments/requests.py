"""Requests as frozen values, whether from a command line, a notebook or a job."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings, read_yaml, setting_text
from olivine.experiments.limits import Limits
from olivine.experiments.recipes import recipe as find_recipe
from olivine.training.config import EvaluateConfig, PretrainConfig

DEFAULT_RECIPE = "demo"
_TERMS = "pretrained.method.terms."


class Settings(EvaluateConfig):
    """All settings that a user can change: those of an experiment and of its runtime."""

    runtime: Runtime = Field(
        default=Runtime(), description="Where and how the run happens; it changes no result."
    )


@dataclass(frozen=True)
class ExperimentRequest:
    """An experiment: a recipe by its name, or a file of settings, changed by `settings`.

    `settings` are texts as `--set` takes them, such as "pretrained.seed=1".
    """

    recipe: str = ""  # empty: the demo, or the default of the command
    config: str = ""  # path of a YAML file, as `olivine show` prints it
    settings: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: str = "", settings: Mapping[str, Any] | None = None) -> "ExperimentRequest":
        """Return the request of a recipe changed by dotted names and their values."""
        texts = (f"{name}={setting_text(value)}" for name, value in (settings or {}).items())
        return cls(recipe=recipe, settings=tuple(texts))

    def resolve(self, default: str = DEFAULT_RECIPE) -> tuple[EvaluateConfig, Runtime]:
        """Return the experiment and its runtime.

        Raises UserError for an unknown recipe, a file without settings, and settings that do not
        exist, have a wrong value or act on nothing.
        """
        if self.config and self.recipe:
            raise UserError(f"Give a recipe ({self.recipe!r}) or --config {self.config}, not both.")
        if self.config:
            tree = read_yaml(Path(self.config))
        else:
            tree = find_recipe(self.recipe or default).to_dict()
        given = parse_settings(self.settings)
        settings = Settings.from_dict(tree).override(given)
        require_active_terms(settings.pretrained, given)
        resolved = settings.to_dict()
        del resolved["runtime"]
        return EvaluateConfig.from_dict(resolved), settings.runtime

    def resolve_runtime(self) -> Runtime:
        """Return the runtime, for a command that concerns no experiment.

        Raises UserError as `resolve`, and for a setting that is not of the runtime.
        """
        for name in parse_settings(self.settings):
            if not name.startswith("runtime."):
                raise UserError(
                    f"This command is about no single experiment, so it takes settings of runtime "
                    f"alone; it was given {name}."
                )
        return self.resolve()[1]

    def with_settings(self, *first: str, last: Iterable[str] = ()) -> "ExperimentRequest":
        """Return the request with default settings before its own, and overriding ones after."""
        return replace(self, settings=(*first, *self.settings, *last))

    def arguments(self, *, recipe_option: bool = False) -> list[str]:
        """Return the command-line arguments that name this experiment.

        With `recipe_option` the recipe is an option, as in `sweep`, whose argument is the sweep's
        name.
        """
        arguments = []
        if self.recipe:
            arguments += ["--recipe", self.recipe] if recipe_option else [self.recipe]
        if self.config:
            arguments += ["--config", self.config]
        for setting in self.settings:
            arguments += ["--set", setting]
        return arguments

    def runtime_arguments(self) -> list[str]:
        """Return the command-line arguments that give the same runtime, without the experiment."""
        arguments = ["--config", self.config] if self.config else []
        for setting in self.settings:
            if setting.startswith("runtime."):
                arguments += ["--set", setting]
        return arguments


@dataclass(frozen=True)
class SweepRequest:
    """A sweep, or a part of it, by its name or the path of its file."""

    name: str
    experiment: ExperimentRequest = ExperimentRequest()
    rows: tuple[str, ...] = ()  # empty: all
    seeds: tuple[int, ...] = ()  # empty: the sweep's
    as_name: str = ""  # name in the run store; empty: the sweep's own
    force: bool = False  # finished trials run again
    limits: Limits = field(default_factory=Limits)


def require_active_terms(config: PretrainConfig, names: Iterable[str]) -> None:
    """Raise UserError for a dotted name within a term that takes no part, as its weight is 0."""
    for name in names:
        inside = name.removeprefix(_TERMS)
        term, _, setting = inside.partition(".")
        if inside == name or not setting or setting == "weight":
            continue
        if config.method.terms[term].weight == 0:
            active = ", ".join(config.method.active()) or "none"
            raise UserError(
                f"Setting {name!r} acts on nothing: the term {term!r} has weight 0 (active terms: "
                f"{active}). Set {_TERMS}{term}.weight too, or leave it out."
            )


def command(*arguments: str) -> str:
    """Return a command line quoted for a shell."""
    return shlex.join(["olivine", *arguments])


def split_rows(text: str) -> tuple[str, ...]:
    """Return the rows of "A; B"."""
    return tuple(row.strip() for row in text.split(";") if row.strip())


def split_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of "0,1,2"; raise UserError for anything but whole numbers."""
    try:
        return tuple(int(seed) for seed in text.split(",") if seed.strip())
    except ValueError:
        raise UserError(
            f"--seeds takes whole numbers such as 0,1,2; it was given {text!r}."
        ) from None
