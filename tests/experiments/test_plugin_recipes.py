"""Recipes and sweeps of somebody else: by entry point, module or file, each mistake a sentence."""

import json
from pathlib import Path

import pytest

from olivine.cli import main as cli
from olivine.core.errors import UserError
from olivine.core.plugins.code_cache import VARIABLE
from olivine.experiments.plugin_recipes import offered_names
from olivine.experiments.recipes import RECIPES, demo, recipe
from olivine.experiments.sweep_files import find_sweep, sweep_names
from tests.support.plugins import forget, install, write_loss

RECIPE = """
from my_loss import MyLoss
from olivine.experiments.recipes import demo


def mine():
    return demo().override({"pretrained.method.terms.pixel.loss": MyLoss(), "seed": 7})
"""
SWEEP = '''"""Is it so?"""
from olivine.experiments.sweep import Sweep

SWEEP = Sweep(
    name="theirs", question=__doc__, metric="miou", recipe="their_recipe", rows={"a": {}}
)
'''


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    yield
    monkeypatch.undo()
    forget("their", "other")


def offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str = "their", **text: str
) -> None:
    files = {"__init__.py": "", **{f"{name}.py": body for name, body in text.items()}}
    offered = {
        "olivine.recipes": {"their_recipe": f"{package}.recipe:mine"},
        "olivine.sweeps": {"theirs": f"{package}.sweep"},
    }
    install(tmp_path / "installed", monkeypatch, package, files, offered)


def test_a_recipe_file_may_import_its_loss_from_beside_it(tmp_path: Path) -> None:
    write_loss(tmp_path)
    (tmp_path / "my_recipe.py").write_text(RECIPE)
    config = recipe("./my_recipe.py:mine")
    kind = config.pretrained.method.terms["pixel"].loss.kind
    assert (config.seed, kind.partition("@")[0]) == (7, "my_loss.py:MyLoss")
    by_kind = {"pretrained.method.terms.pixel.loss.kind": "./my_loss.py:MyLoss", "seed": 7}
    assert demo().override(by_kind) == config, "it is the same class, however it is named"
    (tmp_path / "my_recipe.py").write_text(RECIPE + "\n# a remark\n")
    assert recipe("./my_recipe.py:mine").fingerprint() == config.fingerprint()


LOUD = """
print("imported")
from olivine.experiments.recipes import demo


def mine():
    print("called")
    return demo()
"""


def test_an_interrupt_within_a_recipe_stays_one(tmp_path: Path) -> None:
    (tmp_path / "my_recipe.py").write_text("def mine(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        recipe("./my_recipe.py:mine")


@pytest.mark.parametrize("place", ["./my_recipe.py:mine", "their_recipe", "their.recipe:mine"])
def test_what_a_recipe_prints_is_no_part_of_a_commands_result(
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "my_recipe.py").write_text(LOUD)
    offer(tmp_path, monkeypatch, recipe=LOUD)
    assert recipe(place) == demo()
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "imported\ncalled\n")


@pytest.mark.parametrize("place", ["./theirs.py", "theirs", "their.sweep:SWEEP"])
def test_what_a_sweep_prints_is_no_part_of_a_commands_result(
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "theirs.py").write_text(SWEEP + "print('imported')")
    offer(tmp_path, monkeypatch, sweep=SWEEP + "print('imported')")
    assert find_sweep(place).name == "theirs"
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "imported\n")


def test_an_installed_recipe_is_found_by_its_name_and_by_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "from olivine.experiments.recipes import demo_ppkt as mine\n"
    offer(tmp_path, monkeypatch, recipe=body)
    assert recipe("their_recipe") == recipe("their.recipe:mine") == recipe("demo_ppkt")
    assert offered_names(RECIPES) == ["their_recipe"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def mine(): raise OSError('no disk')", r"my_recipe.py:mine fails: OSError: no disk\."),
        ("def mine(): raise SystemExit(0)", "my_recipe.py:mine fails: SystemExit: 0"),
        ("def mine(): exit()", "my_recipe.py:mine fails: SystemExit"),
        ("def mine(): return 3", "returned a value of type int; it must be a function of"),
        ("def mine(): return None", "returned a value of type NoneType"),
        ("def mine(x): return x", "fails: TypeError: mine.. missing 1 required positional"),
        ("mine = 3", "is of type int; it must be a function"),
        ("from olivine.experiments.recipes import demo\ndef mine():\n"
         "    return demo().override({'pretrained.seeed': 1})", "Did you mean 'seed'"),
        ("from olivine.methods.losses.info_nce import InfoNCE\ndef mine():\n"
         "    return InfoNCE(temperature=-1)", "'temperature': .*greater than 0; it was given -1"),
        ("raise ValueError('at once')", "my_recipe.py cannot be run: ValueError: at once"),
        ("def min(): ...", "has no mine. Did you mean 'min'"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_had_is_one_sentence(
    body: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "my_recipe.py").write_text(body)
    with pytest.raises(UserError, match=sentence) as caught:
        recipe("./my_recipe.py:mine")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./nowhere.py:mine", "nowhere.py, which is not there"),
        ("./my_recipe.py", "names a file: name its function too, as ./my_recipe.py:my_recipe"),
        ("Demo_PPKT", "Did you mean 'demo_ppkt'"),
        ("their_recip", "Did you mean 'their_recipe'"),
        ("their_recipe", "The recipe 'their_recipe' .* cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_name_that_cannot_be_had_is_one_sentence(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch, recipe="import nothing_of_this_name")
    with pytest.raises(UserError, match=sentence):
        recipe(name)


def test_two_recipes_of_one_name_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch)
    offer(tmp_path, monkeypatch, "other")
    for ask in (lambda: recipe("their_recipe"), lambda: offered_names(RECIPES)):
        with pytest.raises(UserError, match="Two installed packages offer a recipe called"):
            ask()


def test_ours_keep_their_names_and_a_packages_are_listed_by_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "from olivine.experiments.recipes import demo_ppkt as mine\n"
    files = {"__init__.py": "", "recipe.py": body, "sweep.py": SWEEP}
    taken = {
        "olivine.recipes": {"demo": "third.recipe:mine"},
        "olivine.sweeps": {"components": "third.sweep"},
    }
    for package in ("third", "fourth"):  # not even two of them take it away
        offered = {
            group: {name: place.replace("third", package) for name, place in named.items()}
            for group, named in taken.items()
        }
        install(tmp_path / "installed", monkeypatch, package, files, offered)
    assert recipe("demo") == demo()
    assert recipe("third.recipe:mine") == recipe("demo_ppkt")
    assert "OLIVINE" in find_sweep("components").rows
    assert find_sweep("third.sweep:SWEEP").name == "theirs"
    assert offered_names(RECIPES) == []
    for what, own, theirs in (
        ("recipes", "demo", "third.recipe:mine"),
        ("sweeps", "components", "third.sweep:SWEEP"),
    ):
        assert cli.main(["list", what, "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert "third" not in listed[own]
        assert listed[theirs].endswith(f"(third 1.0; {own!r} is olivine's own)")
    forget("third", "fourth")


def test_an_installed_sweep_is_found_by_its_name_and_by_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch, sweep=SWEEP)
    assert "theirs" in sweep_names()
    assert find_sweep("theirs") == find_sweep("their.sweep:SWEEP")
    assert find_sweep("theirs").question == "Is it so?"


def test_a_sweep_file_may_import_from_beside_it_in_either_way(tmp_path: Path) -> None:
    text = SWEEP.replace("theirs", "my_question")
    text = text.replace('rows={"a": {}}', "rows=ROWS")
    (tmp_path / "rows.py").write_text("ROWS = {'b': {}}")
    for line in ("from .rows import ROWS", "from rows import ROWS"):
        (tmp_path / "my_question.py").write_text(
            text.replace("import Sweep", f"import Sweep\n{line}")
        )
        assert list(find_sweep("./my_question.py").rows) == ["b"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("x = 1", "The sweep 'theirs' is no sweep: it must define SWEEP"),
        ("SWEEP = 3", "has a value of type int there"),
        ("import nothing_of_this_name", "The sweep 'theirs' .* cannot be imported"),
        (SWEEP.replace("theirs", "other"), "calls its sweep 'other'.*'theirs'"),
    ],
)
def test_an_installed_sweep_that_is_none_is_one_sentence(
    body: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch, sweep=body)
    with pytest.raises(UserError, match=sentence):
        find_sweep("theirs")


def test_a_file_and_a_package_with_sweeps_of_one_name_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch, sweep=SWEEP)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "theirs.py").write_text(SWEEP)
    with pytest.raises(
        UserError, match=r"Two sweeps are called 'theirs', .*theirs.py and their.sw"
    ):
        find_sweep("theirs")
