"""Every setting says in its description what it is: help, docs and `show` have no other source."""

import ast
import importlib
from pathlib import Path

import pytest

import olivine
from olivine.core.spec import Spec

PACKAGE = Path(olivine.__file__).parent
# Rooms whose settings are their commands' own.
LEFT_OUT = ("cli", "results")


def settings_classes() -> dict[str, str]:
    """Return the module of each class that inherits from `Spec`, by the class's name."""
    bases: dict[str, set[str]] = {}
    modules: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and parts[1] not in LEFT_OUT:
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
                modules[node.name] = ".".join(part for part in parts if part != "__init__")
    found, more = {"Spec"}, {"Spec"}
    while more:
        more = {name for name, of in bases.items() if of & found} - found
        found |= more
    return {name: modules[name] for name in sorted(found - {"Spec"})}


CLASSES = settings_classes()


def test_the_search_finds_the_settings_of_every_family_and_of_the_stages() -> None:
    wanted = {"Runtime", "EvaluateConfig", "PretrainConfig", "Term", "Sweep", "Real", "Limits"}
    wanted |= {"Nuscenes", "CropImages", "Hdbscan", "MinkUNet", "ResNet50Teacher", "GroundedSam"}
    wanted |= {"InfoNCE", "DensityCategory", "Cluster", "AdamW", "SamArchitecture"}
    assert wanted <= set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_setting_has_a_description(name: str) -> None:
    spec = getattr(importlib.import_module(CLASSES[name]), name)
    assert issubclass(spec, Spec)
    for setting, field in spec.model_fields.items():
        text = field.description or ""
        what = f"{name}.{setting}: {text!r}"
        assert len(text.split()) >= 3, what
        assert text[0].isupper(), what
        assert text.endswith("."), what
