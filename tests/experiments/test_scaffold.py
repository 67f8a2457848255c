"""What `olivine new` writes works as it is: its own test passes, and the chain takes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.families import FAMILIES
from olivine.core.plugins.code_cache import VARIABLE
from olivine.core.spec import parse_settings
from olivine.experiments.recipes import demo_ppkt, recipe
from olivine.experiments.scaffold import USES, class_name, write_new
from olivine.experiments.sweep_files import find_sweep
from olivine.training.pretrain import pretrain
from olivine.training.worker import LocalWorker
from tests.support.run_stores.tiny_runs import Metrics, tiny_runtime
from tests.support.small import SMALL


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_one_of_every_family_and_a_recipe_and_a_sweep() -> None:
    singular = {"losses": "loss", "datasets": "dataset"}
    families = {singular.get(family, family.removesuffix("s")) for family in FAMILIES}
    assert families | {"recipe", "sweep"} == set(USES)


@pytest.mark.slow
def test_what_is_written_passes_its_own_test_and_the_lints(here: Path) -> None:
    for what in USES:
        written = write_new(what, f"my_{what}", "mine")
        assert {path.parent for path in (written.part, written.test)} == {Path("mine")}
    for tool in (
        ["ruff", "format", "--check"],
        ["ruff", "check", "--isolated", "--select=E,F,I,D1"],
    ):
        limits = ["--line-length=100", "--ignore=D107,D105,D104,D103", "mine"]
        options = limits if tool[1] == "check" else [limits[0], "--isolated", "mine"]
        answer = subprocess.run(
            [sys.executable, "-m", *tool, *options], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "mine"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{2 * len(USES)} passed" in answer.stdout


PIXEL = "pretrained.method.terms.pixel"
TRAINED = {
    "augmentation": {},
    "backbone": {"pretrained.backbone.width": 16},
    "loss": {},
    "optimiser": {},
    "pooling": {},
    "sampler": {f"{PIXEL}.sample.num_pairs": 64},
    "teacher": {},
}


@pytest.mark.parametrize("what", TRAINED)
def test_what_is_written_trains(what: str, here: Path, tiny_world: Path) -> None:
    """By the words that it is used by, in a pretraining of one epoch."""
    use = write_new(what, f"my_{what}").use.removeprefix("--set ")
    network = {name: value for name, value in SMALL.items() if "backbone" not in name}
    small = network if what == "backbone" else SMALL
    config = demo_ppkt().override({**small, "pretrained.num_epochs": 1})
    if what == "augmentation":  # a name that no augmentation has yet
        name, _, kind = use.partition("=")
        place = name.removesuffix(".kind").removeprefix("pretrained.augmentations.")
        parts = config.to_dict()["pretrained"]["augmentations"] | {place: {"kind": kind}}
        config = config.override({"pretrained.augmentations": parts})
    else:
        config = config.override(parse_settings([use]))
    config = config.override(TRAINED[what])
    run = Metrics()
    pretrain(config.pretrained, tiny_runtime(tiny_world, here / "out"), LocalWorker(), run)
    assert all(value == value for value in run.losses("loss"))  # noqa: PLR0124, none is NaN
    assert f"my_{what}.py:{class_name(f'my_{what}')}@" in config.to_yaml()


def test_a_recipe_and_a_sweep_are_found_by_the_words_they_are_used_by(here: Path) -> None:
    words = write_new("recipe", "my_recipe", "mine").use.split()
    assert words[:2] == ["olivine", "show"]
    assert recipe(words[2]).pretrained.method.terms["pixel"].loss.temperature == 0.2
    words = write_new("sweep", "my_question", here / "elsewhere").use.split()
    assert words[:2] == ["olivine", "sweep"]
    assert find_sweep(words[2]).name == "my_question"


@pytest.mark.parametrize(
    ("what", "name", "sentence"),
    [
        ("los", "my_loss", "There is no template 'los'. Did you mean 'loss'?"),
        ("loss", "MyLoss", "'MyLoss' is not the name of a Python module: take lower-case"),
        ("loss", "my-loss", "such as my_loss"),
        ("loss", "2fast", "is not the name of a Python module"),
        ("loss", "../my_loss", "is not the name of a Python module"),
        ("loss", "", "is not the name of a Python module"),
        ("loss", "class", "'class' is a reserved name"),
        ("sampler", "random", "'random' is a reserved name"),
        ("loss", "olivine", "is a reserved name"),
        ("loss", "torch", "'torch' is the name of an installed module, which the file would hide"),
        ("recipe", "yaml", "such as my_yaml"),
        ("loss", "google", "is the name of an installed module"),  # it has no __init__.py
    ],
)
def test_a_name_that_will_not_do_is_one_sentence(
    what: str, name: str, sentence: str, here: Path
) -> None:
    with pytest.raises(UserError) as caught:
        write_new(what, name)
    assert sentence in str(caught.value)
    assert list(here.iterdir()) == []


def test_files_of_ones_own_are_no_installed_modules(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(here)
    (here / "my_loss.py").write_text("mine")
    (here / "my_sampler").mkdir()
    with pytest.raises(UserError, match=r"my_loss\.py exists already"):
        write_new("loss", "my_loss")
    assert write_new("loss", "my_loss", "elsewhere").part.is_file()
    assert write_new("sampler", "my_sampler").part.is_file()


@pytest.mark.parametrize("there", ["my_loss.py", "test_my_loss.py"])
def test_nothing_is_overwritten(there: str, here: Path) -> None:
    (here / there).write_text("mine")
    with pytest.raises(UserError, match=f"{there} exists already"):
        write_new("loss", "my_loss")
    assert [path.read_text() for path in here.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written_is_one_sentence(here: Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write into file/mine: Not a directory"):
        write_new("loss", "my_loss", "file/mine")
