"""Every teacher keeps the promises that `olivine.testing` asks of anybody's."""

from pathlib import Path

import pytest
import torch

from olivine.models.foundation.resnet import ResNet50
from olivine.models.teachers.base import Teacher
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.models.teachers.resnet50 import ResNet50Teacher
from olivine.testing import check_teacher


def test_the_filter_bank_keeps_its_promises() -> None:
    check_teacher(FilterBankTeacher())


@pytest.mark.parametrize("dilated", [True, False])
def test_a_resnet_keeps_its_promises(dilated: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = ResNet50(dilated=True).network.state_dict()
    weights = {f"module.encoder_q.{name}": value for name, value in state.items()}
    torch.save({"state_dict": weights}, tmp_path / "moco.pth.tar")
    check_teacher(ResNet50Teacher(weights=str(tmp_path / "moco.pth.tar"), dilated=dilated))


def test_every_kind_is_here_but_one_whose_network_is_too_large_for_a_quick_test() -> None:
    assert set(Teacher.built_in) == {"filter_bank", "resnet50", "vit"}
