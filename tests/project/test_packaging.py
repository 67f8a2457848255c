"""What is shipped: a wheel that holds everything and runs elsewhere, and commands that are true."""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.installed import run
from tests.support.tracked_files import tracked

PACKAGES = ("olivine", "ray_jobs")
# Commands of the README, CONTRIBUTING and docs/, to the letter. .ci/run runs the first pages' by
# tools/run_pages.py and has the others' itself.
RUN_PAGES = "python3 tools/run_pages.py docs/getting_started.md README.md"
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -c tested-versions.txt -e '.[demo]'"
DEMO = ".venv/bin/olivine demo --out demo"
DEVELOPER_SET_UP = (
    ".venv/bin/pip install -c tested-versions.txt -e '.[dev]' && .venv/bin/pip install "
    "--force-reinstall --no-deps opencv-python-headless==4.11.0.86"
)
LINTS = (
    ".venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && "
    ".venv/bin/lint-imports && .venv/bin/deptry olivine ray_jobs sweeps"
)
DOCUMENTATION = ".venv/bin/mkdocs build --strict"
TESTS = ".venv/bin/python -m pytest -n 2 --dist loadfile"
SECOND_ENGINE = (
    "apt-get install -y --no-install-recommends build-essential ninja-build libopenblas-dev",
    "--no-build-isolation --use-pep517 "
    '--config-settings="--global-option=--blas=openblas" MinkowskiEngine==0.5.4',
)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
    questions = {f"olivine/_{name}" for name in tracked("sweeps")}
    assert names == tracked(*PACKAGES) | questions
    suffixes = {Path(name).suffix for name in names}
    assert suffixes >= {".py", ".json", ".npz", ".csv", ".yaml", ".css"}
    assert len(licences) == 1


@pytest.mark.slow
def test_the_metadata_say_what_it_is_and_needs(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["Name"] == "olivine"
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.10"
    extras = ["demo", "dev", "docs", "grounded-sam", "minkowski", "superpixels", "teachers"]
    assert sorted(said.get_all("Provides-Extra", [])) == [*extras, "transformers"]
    needed = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    for name in ("torch", "ray", "mlflow"):
        assert any(re.match(rf"{name}\b.*[<>]", line) for line in needed), f"no bounds for {name}"
    assert not any("nuscenes-devkit" in line for line in needed), "a user's numpy would be held"


@pytest.mark.slow
def test_the_installed_wheel_runs_from_anywhere(installed: dict[str, str], tmp_path: Path) -> None:
    where = "import olivine, ray_jobs; print(olivine.__file__, ray_jobs.__file__)"
    for path in run(installed, tmp_path, sys.executable, "-c", where).split():
        assert path.startswith(installed["INSTALLED"])
    program = f"{installed['INSTALLED']}/bin/olivine"
    assert "pretrained:" in run(installed, tmp_path, program, "show", "demo")
    (tmp_path / "sweeps").mkdir()  # a folder of the user's own hides nothing
    sweep = (
        "from olivine.experiments.sweep_files import find_sweep, sweep_file; "
        "print(sweep_file('components'), *find_sweep('components').rows)"
    )
    said = run(installed, tmp_path, sys.executable, "-c", sweep)
    assert said.startswith(f"{installed['INSTALLED']}/olivine/_sweeps/components.py")
    assert "OLIVINE" in said


@pytest.mark.slow
def test_the_installed_wheel_labels_on_ray(
    installed: dict[str, str], tiny_world: Path, tmp_path: Path
) -> None:
    """Ray's workers must find the package too, and the embedded labeller its weights."""
    place = {"data_root": tiny_world, "out": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    settings = [f"--set=runtime.{name}={path}" for name, path in place.items()]
    program = f"{installed['INSTALLED']}/bin/olivine"
    environment = {name: text for name, text in installed.items() if name != "RAY_ADDRESS"}
    said = run(environment, tmp_path, program, "label", "demo", *settings)
    assert "Next: olivine pretrain demo" in said
    assert list(tmp_path.glob("out/labels/**/*.png"))


def test_the_pages_and_ci_give_the_same_commands() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    lines = {line.strip() for line in ci.splitlines()}
    shown = {
        "README.md": (SET_UP, DEMO),
        "CONTRIBUTING.md": (DEVELOPER_SET_UP, LINTS, DOCUMENTATION, TESTS),
        "docs/getting_started.md": (SET_UP, DEMO),
    }
    for page, commands in shown.items():
        text = (ROOT / page).read_text()
        for command in commands:
            assert f"\n{command}\n" in text, f"{page} lacks the line {command}"
            for part in command.split(" && ") if page not in RUN_PAGES else ():
                assert part in lines, f".ci/run lacks the line {part}"
    assert RUN_PAGES in lines
    networks = (ROOT / "docs" / "networks.md").read_text()
    for command in SECOND_ENGINE:
        assert command in networks, f"docs/networks.md lacks {command}"
        assert command in ci, f".ci/run lacks {command}"
    assert ci.endswith(f"\n{TESTS}\n"), "pytest's summary is the last thing printed"


@pytest.mark.slow
def test_the_documentation_is_in_the_sdist_and_not_in_the_wheel(
    wheel: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir"]
    subprocess.run(
        [*command, str(tmp_path), str(ROOT)], check=True, capture_output=True, cwd=tmp_path
    )
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    pages = tracked("docs", "mkdocs.yml", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md")
    assert len(pages) > 15
    assert pages <= names
    with zipfile.ZipFile(wheel) as archive:
        assert not {name for name in archive.namelist() if name.startswith(("docs/", "tools/"))}


@pytest.mark.slow
def test_every_direct_dependency_is_pinned_to_a_version_within_its_bounds(wheel: Path) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    needs = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    lines = (ROOT / "tested-versions.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {str(canonicalize_name(name)): version for name, version in pins.items()}
    for needed in needs:
        if needed.marker and not needed.marker.evaluate({"extra": "dev"}):
            continue  # the extras with models are not part of the tested set
        version = pins.get(str(canonicalize_name(needed.name)))
        assert version, f"tested-versions.txt has no version of {needed.name}"
        assert needed.specifier.contains(version), f"{needed} excludes the tested {version}"


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert re.search(r"Apache License\s+Version 2.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_hooks_run_the_lints_of_contributing() -> None:
    import yaml

    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"] for repository in hooks for hook in repository["hooks"]]
    for command in LINTS.split(" && "):
        program = command.removesuffix(" .").removesuffix(" --check .")
        assert any(entry.startswith(program) for entry in entries), command
