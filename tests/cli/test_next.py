"""The command that a command says comes next is one that can be given as it stands."""

import shlex
from pathlib import Path

import pytest

from olivine.cli import main as cli
from tests.support.small import SMALL

MORE = {
    "pretrained.num_epochs": 1,
    "num_epochs": 1,
    "batch_frames": 4,
    "runtime.launcher": "process",
    "runtime.device": "cpu",
    "runtime.allow": "fewer_pairs,absent_classes",
}


def next_of(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Run a command; return the words of the one it names, or none."""
    assert cli.main(words) == 0, capsys.readouterr().err
    lines = capsys.readouterr().out.splitlines()
    found = [line.removeprefix("Next: olivine ") for line in lines if line.startswith("Next: ")]
    return shlex.split(found[-1]) if found else []


@pytest.mark.slow
def test_from_labels_to_a_sweep_by_what_each_command_says(
    tiny_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but a sweep, which `tests/ray_jobs` runs; a folder's name has a blank."""
    place = {"data_root": tiny_world, "out": tmp_path / "my runs", "cache_dir": tmp_path / "cache"}
    settings = {**SMALL, **MORE, **{f"runtime.{name}": path for name, path in place.items()}}
    words = ["label", "demo"]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    commands = []
    while words:
        commands.append(words[0])
        words = next_of(capsys, *words)
    assert commands == ["label", "pretrain", "evaluate", "sweep"]


def test_a_new_world_is_labelled_next(tmp_path, capsys):
    tiny = ["num_scenes=2", "keyframes_per_scene=1", "image_width_px=64", "num_firings=40"]
    settings = [word for setting in tiny for word in ("--set", setting)]
    root = str(tmp_path / "a world")
    words = next_of(capsys, "data", "synth", root, *settings)
    assert words == ["label", "--set", f"runtime.data_root={root}"]
    cache = ["--set", f"runtime.cache_dir={tmp_path}", "--set", f"runtime.out={tmp_path / 'out'}"]
    assert next_of(capsys, *words, *cache, "--dry-run") == []
    assert not (tmp_path / "out").exists(), "a dry run makes nothing"
