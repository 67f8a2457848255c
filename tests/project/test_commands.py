"""The commands that the pages show are commands, and their settings, recipes and rows exist."""

import re
from pathlib import Path

import pytest

from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.experiments.recipes import recipe
from olivine.experiments.scaffold import write_new
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep, sweep_names
from olivine.results.paper_tables import TABLES
from tests.support import ROOT
from tests.support.commands import Command, commands_of
from tests.support.tracked_files import tracked
from tools.docs_site.commands_page import commands

# test_plugin.py runs those of the example of a package, whose recipe and sweep are its own.
PLUGIN = "examples/plugin/"
PAGES = sorted(
    name for name in tracked() if name.endswith(".md") and not name.startswith(("tests/", PLUGIN))
)
COMMANDS = [command for name in PAGES for command in commands_of(name, (ROOT / name).read_text())]
# Every command's options; those that take no value.
KNOWN = {
    name: {option for parameter in command.params for option in parameter.opts}
    for name, command in commands()
}
FLAGS = {
    option
    for _, command in commands()
    for parameter in command.params
    if getattr(parameter, "is_flag", False)
    for option in parameter.opts
}
OF_RECIPES = {"label", "label report", "pretrain", "evaluate", "show"}
RUNTIME = "runtime."
OWN_SWEEP = "my_question"  # the example of docs/sweeps.md


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has the files of one's own which docs/extending.md names."""
    monkeypatch.setenv("OLIVINE_USER_CODE", str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    write_new("loss", "my_loss")
    recipe_file = write_new("recipe", "mine").part
    recipe_file.rename("my_recipe.py")


def settle(name: str, settings: list[str]) -> None:
    """Resolve a recipe with settings; raise UserError for what does not exist."""
    values = parse_settings(settings)
    Runtime().override(
        {key.removeprefix(RUNTIME): x for key, x in values.items() if key.startswith(RUNTIME)}
    )
    recipe(name).override({key: x for key, x in values.items() if not key.startswith(RUNTIME)})


def test_the_pages_show_most_commands() -> None:
    assert len({command.name for command in COMMANDS}) > 10


def test_every_command_and_option_is_one_of_the_program() -> None:
    for command in COMMANDS:
        assert command.name in KNOWN, command
        assert set(command.options) <= KNOWN[command.name], command


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if command.name in OF_RECIPES],
    ids=lambda command: f"{command.page}: {' '.join(command.words[:3])}",
)
def test_recipes_and_settings_exist(command: Command, own_files: None) -> None:
    name = next(iter(command.arguments(FLAGS)), "demo")
    settle(name, command.option("--set"))


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if command.name in ("sweep", "table", "report")],
    ids=lambda command: f"{command.page}: {' '.join(command.words[:3])}",
)
def test_sweeps_rows_and_settings_exist(command: Command) -> None:
    (given,) = command.arguments(FLAGS)
    names = [name for name in given.split(",") if OWN_SWEEP not in name and name != "all"]
    assert set(names) <= set(sweep_names())
    for name in names:
        sweep = find_sweep(name)
        rows = [row for text in command.option("--rows") for row in text.split(";")]
        assert set(rows) <= set(sweep.rows)
        assert set(command.option("--baseline")) <= set(sweep.rows)
        settle(next(iter(command.option("--recipe")), sweep.recipe), command.option("--set"))
    known = recipe("olivine").setting_texts()
    for setting in (s for text in command.option("--by") for s in text.split(",")):
        assert setting in known or "." not in setting


def test_reproduced_tables_exist() -> None:
    asked = [command for command in COMMANDS if command.name == "reproduce"]
    assert {command.arguments(FLAGS)[0] for command in asked} <= set(TABLES)


def test_settings_of_a_synthetic_world_exist() -> None:
    for command in COMMANDS:
        if command.name == "data synth":
            WorldConfig().override(parse_settings(command.option("--set")))


def test_the_example_of_a_sweep_is_one(tmp_path, monkeypatch) -> None:
    text = (ROOT / "docs" / "sweeps.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    path = tmp_path / f"{OWN_SWEEP}.py"
    path.write_text(block)
    sweep = find_sweep(str(path))
    assert len(expand(sweep, recipe(sweep.recipe))) == 9
