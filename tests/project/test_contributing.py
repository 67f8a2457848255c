"""CONTRIBUTING's "Adding to the tree", done as it says in a copy of the tree."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from olivine.experiments.scaffold import class_name, write_new
from tests.support import ROOT
from tests.support.tracked_files import tracked

pytestmark = pytest.mark.slow
BASES = {  # where each family lists its members
    "backbone": "olivine/models/backbones/base.py",
    "clustering": "olivine/data/clusterings/base.py",
    "dataset": "olivine/data/dataset.py",
    "labeller": "olivine/labels/labeller.py",
    "loss": "olivine/methods/losses/base.py",
}
TABLE = "    built_in: ClassVar[Mapping[str, str]] = {\n"
METHOD = '''

def my_method() -> Method:
    """Pixel against point, with a loss of this tree."""
    return Method(terms={"pixel": Term(loss=MyLoss(), sample=Uniform())})
'''
RECIPE = '''def my_recipe() -> EvaluateConfig:
    """PPKT with another loss, at the demo's scale.

    Expected: nothing known.
    Takes: about half a minute on one CPU.
    Command: `olivine evaluate my_recipe`.
    """
    return demo_ppkt().with_pretraining(method=my_method())


'''


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {path.name}"
    path.write_text(text.replace(old, new))


def place_of(what: str, guide: str) -> tuple[str, str]:
    """Return the file or folder that the guide names for a new part, and its kind there."""
    words = "data set" if what == "dataset" else what
    found = re.search(rf"\* \*\*A {words}\*\*: `(olivine/\S+?/(my_\w+)(?:/|\.py))`", guide)
    assert found is not None, f"no place for a {words} in CONTRIBUTING"
    return found[1], found[2]


def add_part(tree: Path, what: str, place: str, kind: str) -> None:
    """Write a part where the guide says, its settings apart from its network, and list it."""
    written = write_new(what, kind, tree / "new")
    source, name = with_kind(written.part.read_text(), kind), class_name(kind)
    module = place.removesuffix("/").removesuffix(".py").replace("/", ".")
    target = tree / place
    if place.endswith("/"):
        target.mkdir()
        if "import torch" in source:
            source, network = settings_apart(source, module)
            (target / "network.py").write_text(network)
        target = target / "__init__.py"
    target.write_text(source)
    edit(tree / BASES[what], TABLE, f'{TABLE}        "{kind}": "{module}:{name}",\n')
    test = written.test.read_text()
    test = re.sub(rf"^{name} = load_part\(.*$", f"from {module} import {name}", test, flags=re.M)
    (tree / f"test_{kind}.py").write_text(test)


def with_kind(source: str, kind: str) -> str:
    """Return a part's module with the kind that its class has in the tree."""
    lines = source.splitlines()
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    (part,) = (node for node in classes if node.name == class_name(kind))
    lines.insert(part.body[0].end_lineno, f'\n    kind: ClassVar[str] = "{kind}"')
    lines.insert(tree.body[0].end_lineno, "\nfrom typing import ClassVar")
    return "\n".join(lines) + "\n"


def settings_apart(source: str, module: str) -> tuple[str, str]:
    """Return a module as two: its settings, which import no torch, and its network."""
    header, settings, network = re.split(r"\n\n\n(?=class )", source)
    found = re.match(r"class (\w+)", network)
    assert found is not None
    own = [
        line
        for line in header.splitlines()
        if not re.match(r"import|from (?!pydantic|typing|.*base )", line)
    ]
    settings = settings.replace("-> nn.Module:", '-> "nn.Module":')
    build = f"        return {found[1]}("
    late = f"        from {module}.network import {found[1]}\n\n{build}"
    settings = settings.replace(build, late)
    return "\n".join([*own, "", "", settings, ""]), f"{header}\n\n\n{network}"


def run(tree: Path, *command: str) -> str:
    answer = subprocess.run(
        [sys.executable, *command], cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree to which one of each was added as the guide says."""
    tree = tmp_path_factory.mktemp("tree")
    for name in tracked("olivine", "sweeps", "ray_jobs", "tests", "pyproject.toml"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for what in BASES:
        add_part(tree, what, *place_of(what, guide))
    catalogue = tree / "olivine/methods/catalogue.py"
    recipes = tree / "olivine/experiments/recipes.py"
    catalogue.write_text(catalogue.read_text().rstrip("\n") + "\n" + METHOD)
    edit(
        catalogue,
        "from olivine.methods.losses.info_nce import InfoNCE\n",
        "from olivine.methods.losses.info_nce import InfoNCE\n"
        "from olivine.methods.losses.my_loss import MyLoss\n",
    )
    imported = "from olivine.methods.catalogue import (\n"
    edit(recipes, imported, f"{imported}    my_method,\n")
    edit(recipes, "RECIPES: dict", f"{RECIPE}RECIPES: dict")
    edit(
        recipes, "        olivine_1_percent,\n", "        my_recipe,\n        olivine_1_percent,\n"
    )
    write_new("sweep", "my_question", tree / "sweeps").test.unlink()
    return tree


def test_they_pass_the_contract_checks_where_they_are(tree: Path) -> None:
    tests = sorted(path.name for path in tree.glob("test_my_*.py"))
    assert len(tests) == len(BASES)
    said = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *tests)
    assert f"{2 * len(BASES)} passed" in said


def test_commands_know_them(tree: Path) -> None:
    for what, name in (
        ("losses", "my_loss"), ("labellers", "my_labels"), ("backbones", "my_net"),
        ("datasets", "my_set"), ("clusterings", "my_clusters"), ("methods", "my"),
        ("recipes", "my_recipe"), ("sweeps", "my_question"),
    ):  # fmt: skip
        lines = run(tree, "-m", "olivine", "list", what).splitlines()
        assert [line for line in lines if line.startswith(f"{name} ")], (what, lines)
    shown = run(tree, "-m", "olivine", "show", "my_recipe")
    assert "kind: my_loss" in shown


def test_their_settings_import_no_torch_and_have_no_hash_of_code(tree: Path) -> None:
    run(
        tree, "-c",
        "import sys\n"
        "from olivine.core.families import FAMILIES, family_named\n"
        "from olivine.core.parts import part_class\n"
        "for family, kind in [('losses', 'my_loss'), ('backbones', 'my_net')]:\n"
        "    part = part_class(family_named(family), kind)()\n"
        "    assert '@code' not in part.fingerprint_fields(), part\n"
        "assert 'torch' not in sys.modules\n",
    )  # fmt: skip


def test_the_lists_of_the_tests_ask_for_them(tree: Path) -> None:
    """A part without a contract check and without a held fingerprint fails the suite."""
    tests = ("tests/methods/losses/test_contract.py", "tests/experiments/test_fingerprints.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    answer = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "test_every_kind_is_among_them" in answer.stdout
    assert "part losses/my_loss" in answer.stdout
