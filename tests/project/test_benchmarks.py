"""Benchmarks are commands that CI does not run; that they still start is looked at here."""

import subprocess
import sys

from tests.support import ROOT


def test_every_benchmark_finds_what_it_imports() -> None:
    """All are imported in one process, since each takes the same seconds to import torch."""
    files = sorted((ROOT / "benchmarks").rglob("*.py"))
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    assert "benchmarks.training.step" in modules
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
