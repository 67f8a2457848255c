"""The command that reproduces a run: the nearest recipe and the settings that differ from it.

A command is given only if its settings equal the run's exactly. If no command does that, for
example because a setting was renamed since, there is none.
"""

import functools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olivine.core.errors import UserError
from olivine.core.spec import Spec, parse_settings, setting_text
from olivine.experiments.recipes import RECIPES, recipe
from olivine.training.config import EvaluateConfig

SEED = "seed"  # last part of the name of a setting that takes a seed
CUT_SHORT = "config.yaml has all)"  # end of a value that was too long for the store
NUM_RECIPES_TRIED = 3  # the nearest ones


@dataclass(frozen=True)
class ReproduceCommand:
    """The command that reproduces a run: a recipe and its changes by `--set`."""

    recipe: str
    settings: Mapping[str, str]  # dotted name -> value as `--set` reads it
    seeds: Mapping[str, str]  # the same, of the settings that take a seed

    def command_line(self) -> list[str]:
        """Return the command line as a list."""
        arguments = ["olivine", "evaluate", self.recipe]
        for name, value in {**self.settings, **self.seeds}.items():
            arguments += ["--set", f"{name}={value}"]
        return arguments


def reproduce_command(settings: Mapping[str, str]) -> ReproduceCommand | None:
    """Return the command that gives exactly these settings of a run, or None if no short one does.

    The recipe is the one with the fewest differences; seeds are always named.
    """
    if not {"protocol", "pretrained.seed"} <= settings.keys():
        return None  # not an experiment
    if any(text.endswith(CUT_SHORT) for text in settings.values()):
        return None
    nearest = sorted(RECIPES, key=lambda name: _distance(name, settings))[:NUM_RECIPES_TRIED]
    for name in nearest:
        base = recipe(name)
        changes = _changes(base, settings)
        arguments = [f"{name}={value}" for name, value in changes.items()]
        try:
            config = base.override(parse_settings(arguments))
        except UserError:
            continue
        if config.setting_texts() == _completed(settings, config):
            seeds = {key: text for key, text in settings.items() if _takes_seed(key)}
            rest = {key: text for key, text in changes.items() if not _takes_seed(key)}
            return ReproduceCommand(name, rest, seeds)
    return None


def shell_command(
    commands: Sequence[ReproduceCommand], seeds: Sequence[int], more: Sequence[str] = ()
) -> str:
    """Return shell code that reproduces the runs of one row, in a loop if only their seeds differ.

    `seeds` are the seeds of the runs, `more` are arguments added to every command.
    """
    first = commands[0]
    looped = {
        name
        for name in first.seeds
        if all(one.seeds.get(name) == str(n) for one, n in zip(commands, seeds, strict=True))
    }
    fixed = [
        (one.recipe, one.settings, {k: v for k, v in one.seeds.items() if k not in looped})
        for one in commands
    ]
    if len(commands) == 1 or not looped or any(one != fixed[0] for one in fixed):
        return "\n".join(_lines(one.command_line() + list(more), "") for one in commands)
    arguments = ReproduceCommand(*fixed[0]).command_line() + list(more)
    loop = "".join(f" \\\n    --set {name}=$seed" for name in first.seeds if name in looped)
    return f"for seed in {' '.join(map(str, seeds))}; do\n{_lines(arguments, '  ')}{loop}\ndone"


def _lines(arguments: Sequence[str], before: str) -> str:
    """Return a command on several lines, with an option on each."""
    text = before
    for place, word in enumerate(arguments):
        space = f" \\\n{before}  " if word == "--set" else " " if place else ""
        text += f"{space}{shlex.quote(word)}"
    return text


def _changes(base: EvaluateConfig, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings to change: kinds of parts, then values that differ from their defaults.

    A part or a map with other names in it is set as a whole.
    """
    known = base.setting_texts()
    kinds = {
        name: text
        for name, text in settings.items()
        if name.endswith(".kind") and known.get(name) != text
    }
    try:
        start = base.override(kinds)
    except UserError:  # such a part needs more than its kind
        start, kinds = base, {}
    found = dict(_differences(start.to_dict(), _tree(_completed(settings, start), start), ""))
    # A part that is set as a whole includes its kind, and those of its own parts.
    kinds = {
        name: text
        for name, text in kinds.items()
        if not any(name.startswith(f"{whole}.") for whole in found)
    }
    return {**kinds, **{name: _word(value) for name, value in found.items()}}


def _completed(settings: Mapping[str, str], like: EvaluateConfig) -> dict[str, str]:
    """Return the settings of a run, with those that were added since as its version had them."""
    known = like.setting_texts()
    missing = {
        name: setting_text(value)
        for name, value in like.added_settings().items()
        if _same_part(name, known, settings)
    }
    return {**missing, **settings}


def _same_part(name: str, known: Mapping[str, str], settings: Mapping[str, str]) -> bool:
    kind = f"{name.rpartition('.')[0]}.kind"
    return settings.get(kind) == known.get(kind)


def _differences(mine: Any, theirs: Any, name: str) -> Iterator[tuple[str, Any]]:
    maps = isinstance(mine, dict) and isinstance(theirs, dict)
    if maps and mine.keys() == theirs.keys() and mine.get("kind") == theirs.get("kind"):
        for key, value in theirs.items():
            yield from _differences(mine[key], value, f"{name}.{key}" if name else key)
    elif mine != theirs:
        yield name, theirs


def _tree(settings: Mapping[str, str], like: Spec) -> dict[str, Any]:
    """Return settings in the form of `to_dict`; a text stays one where the setting is a text."""
    known = like.flatten()
    tree: dict[str, Any] = {}
    for name, text in settings.items():
        *parents, leaf = name.split(".")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[leaf] = text if isinstance(known.get(name), str) else _value(text)
    return tree


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _word(value: Any) -> str:
    """Return a value as a text that `--set` reads."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        read = parse_settings([f"x={value}"])["x"]
    except UserError:
        read = None
    return value if read == value else json.dumps(value)


def _distance(name: str, settings: Mapping[str, str]) -> int:
    """Return the number of characters that differ, as a measure of the command's length."""
    known = _recipe_texts(name)
    differing = settings.items() - known.items()
    gone = known.keys() - settings.keys()
    return sum(len(key) + len(text) for key, text in differing) + sum(map(len, gone))


@functools.lru_cache(maxsize=64)
def _recipe_texts(name: str) -> dict[str, str]:
    return recipe(name).setting_texts()


def _takes_seed(name: str) -> bool:
    return name.rpartition(".")[2] == SEED
