"""Every augmentation keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.data.augmentations.base import Augmentation
from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.testing import check_augmentation

AUGMENTATIONS = (
    RotateFlip(),
    DropCuboid(min_pairs=1, max_share=0.9),
    CropImages(rows_px=24, columns_px=40, min_pairs=1),
    CropImages(rows_px=48, columns_px=80, min_area=1.0, flip_chance=0.0, min_pairs=0),
)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=str)
def test_an_augmentation_keeps_its_promises(augmentation: Augmentation) -> None:
    check_augmentation(augmentation)


def test_every_kind_is_among_them() -> None:
    assert {one.kind for one in AUGMENTATIONS} == set(Augmentation.built_in)
