"""What commands share: settings resolved, the run store opened, what was left, what comes next."""

import sys
from argparse import Namespace
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings, read_yaml
from olivine.tracking.run_store import open_run_store
from olivine.tracking.tracker import Tracker
from olivine.training.config import EvaluateConfig

OK, INCOMPLETE = 0, 1


class Settings(EvaluateConfig):
    """All that a command line can set: an experiment, and where it runs."""

    runtime: Runtime = Runtime()


def resolve(arguments: Namespace, default: str = "demo") -> tuple[EvaluateConfig, Runtime]:
    """Return the experiment and the runtime of a recipe or a file, changed by `--set`."""
    from olivine.experiments.recipes import recipe

    name = getattr(arguments, "recipe", None)
    if arguments.config and name:
        raise UserError(f"Give a recipe ({name!r}) or --config {arguments.config}, not both.")
    if arguments.config:
        tree = read_yaml(Path(arguments.config))
    else:
        tree = recipe(name or default).to_dict()
    settings = Settings.from_dict(tree).override(parse_settings(arguments.set))
    resolved = settings.to_dict()
    del resolved["runtime"]
    return EvaluateConfig.from_dict(resolved), settings.runtime


def open_tracker(runtime: Runtime) -> Tracker:
    """Return the run store of the runtime, made if it is not there."""
    return open_run_store(runtime)


def say(text: str, next_command: str, arguments: Namespace) -> None:
    """Name what was written, and the command that goes on from there."""
    words = ["olivine", *next_command.split(), *setting_words(arguments)]
    sys.stdout.write(f"{text}\nNext: {' '.join(words)}\n")


def setting_words(arguments: Namespace) -> list[str]:
    """Return the recipe and the settings of a command as they were given."""
    words = [arguments.recipe] if getattr(arguments, "recipe", None) else []
    if arguments.config:
        words += ["--config", arguments.config]
    for setting in arguments.set:
        words += ["--set", setting]
    return words
