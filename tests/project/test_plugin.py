"""`examples/plugin` beside the wheel: parts, a recipe and a sweep without an edit of ours."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support import ROOT
from tests.support.installed import run

pytestmark = pytest.mark.slow
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def plugged(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the package beside a copy of the wheel; return the environment that has both."""
    place = tmp_path_factory.mktemp("plugged")
    target = shutil.copytree(installed["INSTALLED"], place / "packages")
    source = shutil.copytree(PLUGIN, place / "source")  # the build leaves files beside the source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(target), str(source)], check=True)
    environment = {name: text for name, text in installed.items() if name != "RAY_ADDRESS"}
    kept = {"OLIVINE_USER_CODE": str(place / "kept"), "PYTHONPATH": str(target)}
    return {**environment, **kept, "INSTALLED": str(target)}


@pytest.fixture(scope="module")
def town(plugged: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a town that the package wrote, and of what is made of it."""
    place = tmp_path_factory.mktemp("town")
    run(plugged, place, sys.executable, "-m", "olivine_example.make_town", "town")
    return place


def olivine(plugged: dict[str, str], town: Path, *words: str, **settings: object) -> str:
    where = {"data_root": "town", "out": "out", "cache_dir": "cache", "device": "cpu", **settings}
    options = [f"--set=runtime.{name}={value}" for name, value in where.items()]
    options = [] if words[0] in ("list", "doctor") else options
    return run(plugged, town, f"{plugged['INSTALLED']}/bin/olivine", *words, *options)


def test_nothing_of_the_checkout_is_used(plugged: dict[str, str], town: Path) -> None:
    code = "import olivine, olivine_example as e; print(olivine.__file__, e.__file__)"
    for path in run(plugged, town, sys.executable, "-c", code).split():
        assert path.startswith(plugged["INSTALLED"])


def test_its_own_tests_pass(plugged: dict[str, str], town: Path) -> None:
    tests = shutil.copytree(PLUGIN / "tests", town / "tests", dirs_exist_ok=True)
    said = run(plugged, town, sys.executable, "-m", "pytest", "-q", str(tests))
    assert " passed" in said
    assert "failed" not in said


def test_what_it_offers_is_listed(plugged: dict[str, str], town: Path) -> None:
    for what, name in (
        ("losses", "decoupled_nce"), ("backbones", "pillars"), ("labellers", "bands"),
        ("datasets", "town"), ("recipes", "town_example"), ("sweeps", "town_losses"),
    ):  # fmt: skip
        (line,) = (
            line for line in olivine(plugged, town, "list", what).splitlines()
            if line.startswith(f"{name} ")
        )  # fmt: skip
        assert "olivine-example-plugin 1.0" in line or what == "sweeps"


def test_its_backbone_is_pretrained_with_its_loss_on_its_data_and_swept_by_its_sweep(
    plugged: dict[str, str], town: Path
) -> None:
    here = {"launcher": "process"}
    assert "Next: olivine pretrain town_example" in olivine(
        plugged, town, "label", "town_example", **here
    )
    assert "Weights: " in olivine(plugged, town, "pretrain", "town_example", **here)
    scores = olivine(plugged, town, "evaluate", "town_example", **here)
    assert scores.startswith("Reused the pretraining of 20")
    miou = float(next(line for line in scores.splitlines() if line.startswith("miou")).split()[1])
    assert miou > 30, "the classes of a town of boxes can be told apart"
    swept = olivine(plugged, town, "sweep", "town_losses", "--seeds", "0")
    assert "decoupled" in swept

    tracker = MlflowTracker(f"sqlite:///{town}/out/mlflow.db")
    (pretraining,) = (
        run for run in tracker.records("pretrain") if run.settings["pretrained.seed"] == "0"
        and run.settings["pretrained.method.terms.pixel.loss.kind"] == "decoupled_nce"
    )  # fmt: skip
    kinds = {
        "pretrained.backbone.kind": "pillars",
        "pretrained.data.kind": "town",
        "pretrained.labels.kind": "bands",
    }
    assert kinds.items() <= pretraining.settings.items()
    losses = tracker.history(pretraining.run_id, "pretrain/pixel")
    assert losses[max(losses)] < losses[min(losses)], "its loss falls"
    rows = {run.tags["olivine.row"]: run.status for run in tracker.records("trial")}
    assert rows == {"InfoNCE": "FINISHED", "decoupled": "FINISHED"}
    # The row "decoupled" is the recipe: its pretraining and its evaluation were there.
    assert len(tracker.records("pretrain")) == len(tracker.records("evaluate")) == 2


def test_edited_code_of_the_package_is_other_code(plugged: dict[str, str], town: Path) -> None:
    code = (
        "from olivine.experiments.recipes import recipe; "
        "print(recipe('town_example').pretrained.fingerprint())"
    )
    target = shutil.copytree(plugged["INSTALLED"], town / "edited")
    loss = target / "olivine_example" / "losses.py"
    loss.write_text(loss.read_text().replace(".mean()", ".mean() * 100"))
    environment = {**plugged, "PYTHONPATH": str(target)}
    before, after = (
        run(one, town, sys.executable, "-c", code).strip() for one in (plugged, environment)
    )
    assert len(before) == len(after) == 12
    assert before != after
