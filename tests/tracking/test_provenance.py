import json
import os
import re
import socket
import subprocess

import pytest

from olivine.core.hashing import text_hash
from olivine.tracking import provenance as module
from olivine.tracking.provenance import provenance, provenance_texts


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small repository in place of ours; returns what runs git in it."""

    def git(*words: str) -> str:
        identity = ("-c", "user.name=nobody", "-c", "user.email=none")
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    for name in (
        "olivine/tracking/provenance.py",
        "ray_jobs/a.py",
        "sweeps/a.py",
        "pyproject.toml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one = 1\n")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(module, "THIS_FILE", tmp_path / "olivine/tracking/provenance.py")
    cached = (module._git, module._is_checkout, module._diff)
    for function in cached:
        function.cache_clear()
    yield git
    for function in cached:
        function.cache_clear()


def test_a_checkout_names_its_commit_and_every_run_its_packages():
    tags = provenance()
    assert len(tags.get("git.commit", "0" * 40)) == 40
    assert tags.get("git.dirty", "false") in {"true", "false"}
    assert tags["version.torch"].startswith("2.")
    assert tags["hardware.cpus"] == str(os.cpu_count())
    assert float(tags["hardware.memory_gb"]) > 0
    assert f"torch=={tags['version.torch']}\n" in provenance_texts()["packages.txt"]


def test_a_clean_checkout_has_no_diff(checkout):
    assert provenance()["git.commit"] == checkout("rev-parse", "HEAD").strip()
    assert provenance()["git.dirty"] == "false"
    assert "code.diff" not in provenance_texts()


def test_the_diff_has_changes_and_new_files_and_leaves_the_index_alone(checkout, tmp_path):
    (tmp_path / "olivine/tracking/provenance.py").write_text("one = 2\n")
    (tmp_path / "sweeps/mine.py").write_text("asked = 'a question'\n")
    (tmp_path / "notes.txt").write_text("of no interest\n")
    status = checkout("status", "--porcelain")
    diff = provenance_texts()["code.diff"]
    assert "-one = 1\n+one = 2\n" in diff
    assert "+asked = 'a question'\n" in diff
    assert "of no interest" not in diff
    assert provenance()["git.dirty"] == "true"
    assert provenance()["sha256.code.diff"] == text_hash(diff)
    assert checkout("status", "--porcelain") == status

    checkout("checkout", "-q", ".")  # what was recorded makes the same code again
    (tmp_path / "sweeps/mine.py").unlink()
    (tmp_path / "code.diff").write_text(diff)
    checkout("apply", "code.diff")
    assert (tmp_path / "olivine/tracking/provenance.py").read_text() == "one = 2\n"
    assert (tmp_path / "sweeps/mine.py").read_text() == "asked = 'a question'\n"


def test_a_huge_diff_is_cut_and_says_so(checkout, tmp_path):
    (tmp_path / "sweeps/mine.py").write_text("x\n" * 1_000_000)
    diff = provenance_texts()["code.diff"]
    assert len(diff) < 1_000_100
    assert "the rest is left out" in diff


def test_code_outside_a_checkout_has_no_commit(tmp_path, checkout, monkeypatch):
    monkeypatch.setattr(module, "THIS_FILE", tmp_path / "olivine/installed.py")  # git ignores it
    assert not {"git.commit", "git.dirty"} & set(provenance())
    assert "code.diff" not in provenance_texts()


def test_nobody_is_named():
    said = json.dumps({**provenance(), **provenance_texts()})
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", said)
