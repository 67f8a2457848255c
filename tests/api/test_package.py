"""`import olivine` offers what the documentation says, and costs nothing."""

import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import olivine
from olivine.core.errors import UserError
from tests.support import ROOT

OFFERED = sorted(set(olivine.__all__) - {"__version__"})


@pytest.mark.parametrize("name", OFFERED)
def test_every_name_is_there_and_documented(name):
    value = getattr(olivine, name)
    assert not isinstance(value, ModuleType)
    assert value.__doc__
    assert f"`{name}" in (ROOT / "docs" / "python_api.md").read_text()


def test_names_are_listed_and_others_are_no_attributes():
    assert dir(olivine) == sorted(olivine.__all__)
    assert set(OFFERED) >= {
        "load_backbone", "PointEncoder", "recipe", "label", "pretrain", "evaluate", "run_sweep",
        "table",
    }  # fmt: skip
    with pytest.raises(AttributeError, match="has no attribute 'pretrian'"):
        _ = olivine.pretrian


def test_a_type_checker_sees_the_same_names():
    text = (ROOT / "olivine" / "__init__.py").read_text()
    seen = re.findall(r"^    from (\S+) import (\w+) as \2$", text, flags=re.M)
    assert sorted(name for _, name in seen) == OFFERED
    for module, name in seen:
        assert getattr(import_module(module), name) is getattr(olivine, name)
    assert (ROOT / "olivine" / "py.typed").exists()


def test_the_version_is_the_distributions():
    from importlib.metadata import PackageNotFoundError, version

    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", olivine.__version__)
    try:
        installed = version("olivine")
    except PackageNotFoundError:
        pytest.skip("olivine is not installed here")
    assert installed == olivine.__version__


def test_a_model_of_0_1_hides_no_function_of_the_package():
    """Its code imports `olivine.pretrain`, which was a module then and is a function now."""
    code = """
import olivine
from olivine.pretrain import NUM_INPUT_CHANNELS
import olivine.pretrain
print(NUM_INPUT_CHANNELS, callable(olivine.pretrain), olivine.pretrain.__name__)
import olivine.config
print(olivine.config.PretrainConfig.__name__)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert answer.stdout == "1 True pretrain\nPretrainConfig\n"


def test_a_recipe_is_changed_by_values_or_by_texts():
    changed = {"pretrained.seed": 3, "pretrained.backbone.planes": [8, 8]}
    by_values = olivine.recipe("demo", {**changed, "pretrained.backbone.blocks": (1, 1)})
    texts = ["pretrained.seed=3", "pretrained.backbone.planes=[8, 8]"]
    assert olivine.recipe("demo", [*texts, "pretrained.backbone.blocks=[1,1]"]) == by_values
    assert olivine.recipe("demo", "seed=2").seed == 2
    assert olivine.recipe("demo") == olivine.recipe("demo", {})
    with pytest.raises(UserError, match="Did you mean 'demo'"):
        olivine.recipe("demoo")
    with pytest.raises(UserError, match="No setting 'sed'"):
        olivine.recipe("demo", {"sed": 1})
    with pytest.raises(UserError, match="A recipe has no setting 'device'"):
        olivine.recipe("demo", {"runtime.device": "cpu"})
