"""A user's part that raises while a command runs, wherever it runs."""

from pathlib import Path

import pytest

from olivine.cli import main as cli
from tests.support.small import SMALL

PARTS = """
import torch
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.training.optimisers.sgd import Sgd


class Broken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, given):
        return torch.zeros(3, 4) @ torch.zeros(5, 6)


class Net(MinkUNet):
    def build(self, num_input_channels):
        return Broken()


class Teacher(FilterBankTeacher):
    def build(self, device=None):
        return Broken()


class Turn(RotateFlip):
    def __call__(self, sample, generator):
        return sample.nosuch


class Steps(Sgd):
    def rate_share(self, step, steps_per_epoch, num_epochs):
        return 1 / 0


class Lazy(Nuscenes):
    def open_at(self, root, cache_dir):
        raise ConnectionError("no route to host")
"""


@pytest.fixture
def given(tiny_world: Path, tmp_path: Path) -> dict[str, object]:
    """Return the settings of a small pretraining in this process, beside the file of parts."""
    (tmp_path / "mine.py").write_text(PARTS)
    return {
        **SMALL,
        "pretrained.backbone.blocks": [1, 1, 1, 1],
        "runtime.data_root": tiny_world,
        "runtime.out": tmp_path,
        "runtime.device": "cpu",
        "runtime.launcher": "process",
    }


@pytest.mark.parametrize("num_loaders", [0, 1])
@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("backbone=Net", "in forward, fails: RuntimeError: mat1 and mat2"),
        ("teacher=Teacher", "in forward, fails: RuntimeError: mat1 and mat2"),
        ("augmentations.rotate_flip=Turn", "in __call__, fails: AttributeError: "),
        ("optimiser=Steps", "in rate_share, fails: ZeroDivisionError: division by zero."),
        ("data=Lazy", "in open_at, fails: ConnectionError: no route to host."),
    ],
)
def test_a_part_that_raises_is_told_with_its_line(
    part: str,
    reason: str,
    num_loaders: int,
    given: dict[str, object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    setting, _, name = part.partition("=")
    given["runtime.num_loader_workers"] = num_loaders
    given[f"pretrained.{setting}.kind"] = f"{given['runtime.out']}/mine.py:{name}"
    changes = [f"--set={key}={value}" for key, value in given.items()]
    assert cli.main(["pretrain", "demo_ppkt", *changes]) == cli.USER_ERROR
    told = capfd.readouterr().err
    assert "The code of mine.py, line " in told
    assert reason in told
    assert "Traceback" not in told
