"""The files that belong to the project."""

import functools
import subprocess

import pytest

from tests.support import ROOT

TEXT = {".cff", ".csv", ".css", ".html", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}


def tracked(*folders: str) -> set[str]:
    """Return the names of the files below these folders, or of all; skip outside a checkout."""
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        pytest.skip("not a git checkout")
    return {name for name in answer.stdout.splitlines() if (ROOT / name).exists()}


@functools.cache
def text_files() -> dict[str, str]:
    """Return the content of every text file by its name."""
    names = [name for name in sorted(tracked()) if (ROOT / name).suffix in TEXT]
    return {name: (ROOT / name).read_text() for name in names}
