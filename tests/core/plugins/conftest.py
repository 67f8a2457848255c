"""Every test of user code stores its copies in a folder of its own."""

from pathlib import Path

import pytest

from olivine.core.plugins.code_cache import VARIABLE
from tests.support.plugins import forget


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return the folder of kept trees; what was installed is forgotten at the end."""
    folder = tmp_path / "kept"
    monkeypatch.setenv(VARIABLE, str(folder))
    yield folder
    monkeypatch.undo()
    forget()
