from pathlib import Path

import pytest
import torch

from olivine.core.errors import UserError
from olivine.experiments.recipes import recipe
from olivine.models.foundation.vit import VisionTransformer
from olivine.models.teachers.vit import VisionTransformerTeacher


def test_it_gives_the_map_its_settings_promise(tmp_path: Path) -> None:
    path = tmp_path / "dino.pth"
    torch.save(VisionTransformer("dino_vits16", normed=True).network.state_dict(), path)
    teacher = VisionTransformerTeacher(architecture="dino_vits16", weights=str(path))

    maps = teacher.build()(torch.zeros(2, 3, 32, 64, dtype=torch.uint8))

    assert maps.shape == (2, teacher.num_channels, 2, 4)
    assert maps.shape[2:] == teacher.map_size(32, 64)
    assert len(teacher.identity) == 64


def test_a_misspelt_architecture_and_missing_weights_are_told() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'dinov2_vits14'"):
        VisionTransformerTeacher.from_dict({"architecture": "dinov2_vits_14"})
    with pytest.raises(UserError, match=r"authors' file of dinov2_vitl14: --set"):
        _ = VisionTransformerTeacher().identity


def test_scalrs_recipe_has_it() -> None:
    teacher = recipe("scalr").pretrained.teacher
    assert isinstance(teacher, VisionTransformerTeacher)
    assert (teacher.architecture, teacher.normed) == ("dinov2_vitl14", False)
