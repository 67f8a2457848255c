"""What a person asks for, as frozen values: on a command line, in a notebook, in a job."""

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
from olivine.training.config import EvaluateConfig

DEFAULT_RECIPE = "demo"


class Settings(EvaluateConfig):
    """All that a person can set: an experiment, and where it runs."""

    runtime: Runtime = Field(
        default=Runtime(), description="Where and how the run happens; it changes no result."
    )


@dataclass(frozen=True)
class ExperimentRequest:
    """An experiment: a recipe by its name, or a file of settings, changed by `settings`.

    `settings` are texts as `--set` takes them, such as "pretrained.seed=1".
    """

    recipe: str = ""  # empty: the demo, or what the command asks about
    config: str = ""  # path of a YAML file, as `olivine show` prints it
    settings: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: str = "", settings: Mapping[str, Any] | None = None) -> "ExperimentRequest":
        """Return the request of a recipe changed by dotted names and their values."""
        texts = (f"{name}={setting_text(value)}" for name, value in (settings or {}).items())
        return cls(recipe=recipe, settings=tuple(texts))

    def resolve(self, default: str = DEFAULT_RECIPE) -> tuple[EvaluateConfig, Runtime]:
        """Return the experiment and where it runs.

        Raises UserError for an unknown recipe, a file that is none, and settings that do not exist
        or take no such value.
        """
        if self.config and self.recipe:
            raise UserError(f"Give a recipe ({self.recipe!r}) or --config {self.config}, not both.")
        if self.config:
            tree = read_yaml(Path(self.config))
        else:
            tree = find_recipe(self.recipe or default).to_dict()
        settings = Settings.from_dict(tree).override(parse_settings(self.settings))
        resolved = settings.to_dict()
        del resolved["runtime"]
        return EvaluateConfig.from_dict(resolved), settings.runtime

    def with_settings(self, *first: str, last: Iterable[str] = ()) -> "ExperimentRequest":
        """Return the request with settings before its own, which win, and after, which do."""
        return replace(self, settings=(*first, *self.settings, *last))

    def words(self, *, recipe_option: bool = False) -> list[str]:
        """Return the words that give a command this experiment.

        With `recipe_option` the recipe is an option, as `sweep` has it, whose name comes first.
        """
        words = []
        if self.recipe:
            words += ["--recipe", self.recipe] if recipe_option else [self.recipe]
        if self.config:
            words += ["--config", self.config]
        for setting in self.settings:
            words += ["--set", setting]
        return words

    def runtime_words(self) -> list[str]:
        """Return the words that give a command the same place to run, and no experiment."""
        words = ["--config", self.config] if self.config else []
        for setting in self.settings:
            if setting.startswith("runtime."):
                words += ["--set", setting]
        return words


@dataclass(frozen=True)
class SweepRequest:
    """A sweep: by its name or its file's path, or a part of it."""

    name: str
    experiment: ExperimentRequest = ExperimentRequest()
    rows: tuple[str, ...] = ()  # empty: all
    seeds: tuple[int, ...] = ()  # empty: the sweep's
    as_name: str = ""  # called so in the store; empty: by its name
    force: bool = False  # what is finished runs again
    limits: Limits = field(default_factory=Limits)


def command(*words: str) -> str:
    """Return a command that can be given as it is."""
    return shlex.join(["olivine", *words])


def split_rows(text: str) -> tuple[str, ...]:
    """Return the rows of "A; B"."""
    return tuple(row.strip() for row in text.split(";") if row.strip())


def split_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of "0,1,2"; raise UserError for what are no whole numbers."""
    try:
        return tuple(int(seed) for seed in text.split(",") if seed.strip())
    except ValueError:
        raise UserError(
            f"--seeds takes whole numbers such as 0,1,2; it was given {text!r}."
        ) from None
