"""The provenance of a run: code, packages and hardware, without host name and user name.

Tags hold a summary. Two texts hold the details: the changes of the code since its commit, and
every package.
"""

import functools
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from olivine.core.hashing import text_hash

PACKAGES = ("olivine", "torch", "ray", "mlflow", "numpy", "optuna", "pydantic", "scikit-learn")
DIFF, LIST = "code.diff", "packages.txt"  # names of the texts
MAX_DIFF_CHARACTERS = 1_000_000
THIS_FILE = Path(__file__)
CODE = ("olivine", "ray_jobs", "sweeps", "pyproject.toml")  # untracked files included


def provenance() -> dict[str, str]:
    """Return tags of the git commit and its changes, of versions, processors, memory and GPU."""
    hashes = {f"sha256.{name}": text_hash(text) for name, text in provenance_texts().items()}
    return {**_git(), **_versions(), **_machine(), **_gpu(), **hashes}


def provenance_texts() -> Mapping[str, str]:
    """Return the texts `packages.txt` and, if the code has changes, `code.diff`, by name."""
    diff = _diff()
    return {**({DIFF: diff} if diff else {}), LIST: _package_list()}


@functools.lru_cache(maxsize=1)
def _git() -> dict[str, str]:
    """Return tags of the commit of this file's checkout; an installed wheel has none."""
    commit = _git_output("rev-parse", "HEAD") if _is_checkout() else None
    if commit is None:
        return {}
    return {"git.commit": commit.strip(), "git.dirty": str(bool(_diff())).lower()}


@functools.lru_cache(maxsize=1)
def _is_checkout() -> bool:
    # An environment may lie inside a checkout of another project: only a tracked file counts.
    return _git_output("ls-files", "--error-unmatch", str(THIS_FILE)) is not None


@functools.lru_cache(maxsize=1)
def _diff() -> str:
    """Return the changes of the code since its commit, untracked files included."""
    index = _git_output("rev-parse", "--path-format=absolute", "--git-path", "index")
    if not _is_checkout() or index is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        # New files are added to a copy of the index; the original is not changed.
        copy = shutil.copyfile(index.strip(), Path(folder, "index"))
        added = _git_output("add", "--intent-to-add", "--", *CODE, index=copy)
        diff = _git_output(
            "diff", "HEAD", "--no-ext-diff", index=copy if added is not None else None
        )
    if diff is None:
        return ""
    if len(diff) > MAX_DIFF_CHARACTERS:
        note = f"\n… ({len(diff)} characters; the rest is left out)\n"
        diff = diff[:MAX_DIFF_CHARACTERS] + note
    return diff


def _git_output(*arguments: str, index: Path | None = None) -> str | None:
    environment = {**os.environ, **({"GIT_INDEX_FILE": str(index)} if index else {})}
    try:
        answer = subprocess.run(
            ["git", "-C", str(THIS_FILE.parents[2]), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


@functools.lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    versions = {"version.python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            versions[f"version.{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a checkout, or not installed
            continue
    return versions


@functools.lru_cache(maxsize=1)
def _package_list() -> str:
    """Return every package of the environment with its version, as `pip freeze` does."""
    found = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]  # remains of a broken installation have no name
    }
    return "\n".join(sorted(found, key=str.lower)) + "\n"


@functools.lru_cache(maxsize=1)
def _machine() -> dict[str, str]:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    machine = {"hardware.cpus": str(os.cpu_count() or 0), "hardware.memory_gb": f"{memory_gb:.0f}"}
    model = _cpu_model()
    return {**machine, **({"hardware.cpu": model} if model else {})}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")


def _gpu() -> dict[str, str]:
    torch = sys.modules.get("torch")  # torch is not imported for a tag alone
    if torch is None or not torch.cuda.is_available():
        return {}
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    return {
        "hardware.gpu": torch.cuda.get_device_name(),
        "hardware.gpus": str(torch.cuda.device_count()),
        "hardware.gpu_memory_gb": f"{memory_gb:.0f}",
        "version.cuda": str(torch.version.cuda),
    }
