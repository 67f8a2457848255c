"""Every example runs as it is, on the tiny world; the notebook's cells run in their order."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "quickstart.ipynb"
SCRIPTS = ("pretrain_and_evaluate", "features_of_a_scan", "predictions", "sweep_and_table")
SMALL = (
    "pretrained.backbone.planes=[8,16,16,8]",
    "pretrained.backbone.stem_channels=8",
    "pretrained.augmentations.crop_images.rows_px=45",
    "pretrained.augmentations.crop_images.columns_px=80",
    "pretrained.augmentations.crop_images.min_pairs=4",
    "pretrained.num_channels=16",
    "pretrained.num_epochs=1",
    "num_epochs=1",
    "runtime.device=cpu",
    "runtime.allow=fewer_pairs,absent_classes",
)


def run(folder: Path, *words: str, **environment: str) -> str:
    """Run Python in a folder that is not the checkout; return what it printed."""
    answer = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            "PYTHONPATH": str(ROOT),
            "MPLBACKEND": "Agg",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def trained(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the runs, and what the first example printed."""
    out = tmp_path_factory.mktemp("example") / "runs"
    script = str(EXAMPLES / "pretrain_and_evaluate.py")
    return out, run(out.parent, script, str(tiny_world), str(out), *SMALL)


def test_every_example_is_listed_and_tested():
    listed = (EXAMPLES / "README.md").read_text()
    for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]:
        assert f"`{path.name}`" in listed
        assert path.stem in SCRIPTS or path == NOTEBOOK


@pytest.mark.slow
def test_pretrain_and_evaluate(trained):
    out, printed = trained
    assert re.search(r"^miou +\d+\.\d\d %$", printed, flags=re.M)
    (weights,) = re.findall(r"^weights: (\S+)$", printed, flags=re.M)
    assert Path(weights).is_relative_to(out)
    assert Path(weights).exists()


@pytest.mark.slow
def test_features_of_a_scan(trained, tiny_world):
    out, printed = trained
    (fingerprint,) = re.findall(r"^run: (\w+)$", printed, flags=re.M)
    scan = next(tiny_world.glob("samples/LIDAR_TOP/*.pcd.bin"))
    script = str(EXAMPLES / "features_of_a_scan.py")
    lines = run(out.parent, script, fingerprint, str(scan), str(out)).splitlines()
    assert lines[0] == f"{scan.stat().st_size // 20} points, 8 channels, float32"
    assert lines[1].endswith("cosine 1.000")
    assert len(lines) == 6


@pytest.mark.slow
def test_predictions(trained, tiny_world, tmp_path):
    out, printed = trained
    (fingerprint,) = re.findall(r"^run: (\w+)$", printed, flags=re.M)
    scan = next(tiny_world.glob("samples/LIDAR_TOP/*.pcd.bin"))
    words = [fingerprint, str(tiny_world), str(out), str(tmp_path / "to"), str(scan)]
    first = run(tmp_path, str(EXAMPLES / "predictions.py"), *words)
    assert "16 classes: barrier, bicycle" in first
    assert re.search(r"\d+ frames written to .*split, 0 were there", first)
    assert len(list((tmp_path / "to/files").glob("*_lidarseg.bin"))) == 1
    again = run(tmp_path, str(EXAMPLES / "predictions.py"), *words)
    assert "0 frames written to" in again


@pytest.mark.slow
def test_sweep_and_table(tiny_world, tmp_path):
    script = str(EXAMPLES / "sweep_and_table.py")
    printed = run(tmp_path, script, str(tiny_world), str(tmp_path / "runs"), *SMALL)
    assert "failed" not in printed
    tables = printed[printed.index("metric ") :].splitlines()
    assert tables[0].split() == ["metric", "miou", "accuracy"]
    assert [line.split()[0] for line in tables[2:4]] == ["0.07", "0.2"]
    assert tables[4].split() == ["method", "mean", "std", "n", "difference", "p"]
    assert [line.split()[0] for line in tables[5:7]] == ["0.07", "0.2"]
    assert [line.split()[3] for line in tables[5:7]] == ["2", "2"]


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_stored_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.slow
def test_the_notebook_runs_from_its_first_cell_to_its_last(tiny_world, tmp_path):
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart/nuscenes").symlink_to(tiny_world)
    program = "\n".join(cells())
    printed = run(tmp_path, "-c", program, OLIVINE_QUICKSTART=str(tmp_path / "quickstart"))
    assert re.search(r"\d+\.\d\d % mIoU, run \w{12}", printed)
    assert re.search(r"\(\d+, 8\) float32", printed)
    written = list((tmp_path / "quickstart/predictions/lidarseg/mini_val").glob("*_lidarseg.bin"))
    assert f"{len(written)} files below" in printed
    assert written
