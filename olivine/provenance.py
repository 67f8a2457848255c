"""What made a run: code, packages and hardware, as tags. No host name, no user name."""

import functools
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

PACKAGES = ("olivine", "torch", "ray", "mlflow")


def provenance() -> dict[str, str]:
    """Return tags: git commit and whether it was changed, package versions, CPUs and GPU."""
    return {**_git(), **_versions(), **_hardware()}


@functools.lru_cache(maxsize=1)
def _git() -> dict[str, str]:
    """Return the commit of the checkout that holds this file; nothing for an installed wheel."""
    root = Path(__file__).parents[1]
    # An environment may lie inside somebody else's checkout: only a tracked file counts.
    if _ask_git(root, "ls-files", "--error-unmatch", str(Path(__file__))) is None:
        return {}
    commit = _ask_git(root, "rev-parse", "HEAD")
    changed = _ask_git(root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return {}
    return {"git.commit": commit, "git.dirty": str(bool(changed)).lower()}


def _ask_git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@functools.lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    versions = {"version.python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            versions[f"version.{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
            continue
    return versions


def _hardware() -> dict[str, str]:
    hardware = {"hardware.cpus": str(os.cpu_count() or 0)}
    torch = sys.modules.get("torch")  # a run that never used torch need not load it for a tag
    if torch is not None and torch.cuda.is_available():
        hardware["hardware.gpu"] = torch.cuda.get_device_name()
        hardware["hardware.gpus"] = str(torch.cuda.device_count())
    return hardware
