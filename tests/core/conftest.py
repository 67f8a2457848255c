"""A package of somebody else with parts."""

from pathlib import Path

import pytest

from olivine.core.plugins.code_cache import VARIABLE
from tests.support.plugins import forget, install
from tests.support.their_losses import BODY, OFFERED


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    yield tmp_path / "kept"
    monkeypatch.undo()
    forget("their", "other")


@pytest.fixture
def their(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with losses; return its folder."""
    files = {"__init__.py": "", "losses.py": BODY, "other.py": "X = 1\n"}
    install(tmp_path, monkeypatch, "their", files, OFFERED)
    return tmp_path / "their" / "their"
