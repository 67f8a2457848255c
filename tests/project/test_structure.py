"""Nothing goes in circles, folders stay small, and imports stay light.

Which room may import which is import-linter's to say: its floors stand in pyproject.toml.
"""

import subprocess
import sys

import pytest

from tests.support import ROOT
from tools.structure import circles, import_graph, measure, read_modules

# What a person may import without waiting for what it does not need.
LIGHT = {
    "olivine": {"ray", "mlflow", "torch", "numpy", "pydantic"},
    "olivine.data.datasets.nuscenes": {"ray", "mlflow", "torch"},
    "olivine.experiments.recipes": {"ray", "mlflow", "torch", "pandas"},
    "olivine.tracking.mlflow_backend.tracker": {"ray", "mlflow", "torch"},
    "olivine.training.pretrain, olivine.training.evaluate": {"ray", "mlflow"},
    "olivine.labels.job": {"ray", "mlflow"},
    "olivine.api.stages, olivine.api.tables, olivine.api.scan_outputs": {
        "ray",
        "mlflow",
        "torch",
        "pandas",
    },
    "olivine.inference, olivine.runners.in_process": {"ray", "mlflow"},
    "olivine.results.paper_tables, olivine.results.tables.spec": {
        "ray",
        "mlflow",
        "torch",
        "numpy",
        "pandas",
        "scipy",
        "matplotlib",
        "plotly",
        "jinja2",
    },
}


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = import_graph(read_modules(ROOT, ("olivine", "ray_jobs", "tests")))
    assert circles(graph) == []


def test_folders_are_small_and_no_function_is_longer_than_it_was() -> None:
    figures = measure(ROOT)
    for group in ("library", "tests"):
        entries = figures[f"{group}: most Python files and folders in one folder"]
        assert int(entries.split()[0]) <= 22, entries
        lengths = figures[f"{group}: lines per function, median / p90 / longest"]
        assert int(lengths.split(" / ")[-1]) <= 70, lengths


@pytest.mark.parametrize("modules", LIGHT)
def test_importing_pulls_in_no_more_than_it_must(modules: str) -> None:
    code = f"import {modules}\nimport sys; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in answer.stdout.split()}
    assert not loaded & LIGHT[modules]
