from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.labels.labellers.sam_segments import SamSegments, paint_segments
from tests.support.foundation_models import SAM, write_sam
from tests.support.image_folder import FolderFrames

CPU = torch.device("cpu")
FRAMES = FolderFrames(Path())


def test_small_segments_show_on_large_ones() -> None:
    small, large = np.zeros((4, 6), dtype=bool), np.zeros((4, 6), dtype=bool)
    small[1, 1] = True
    large[:, :3] = True

    ids = paint_segments([small, large], (4, 6), 255)

    assert ids[0, 0] == 0
    assert ids[1, 1] == 1
    assert (ids[:, 3:] == IGNORE).all()


def test_only_the_largest_segments_are_kept() -> None:
    masks = [np.arange(20).reshape(4, 5) < area for area in (3, 20, 11)]

    ids = paint_segments(masks, (4, 5), 2)

    assert set(np.unique(ids)) == {0, 1}
    assert (ids == 1).sum() == 11


def test_segments_of_a_photo_are_the_same_again(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    image.setflags(write=False)
    settings = SamSegments(
        segmenter=str(write_sam(tmp_path / "sam.pth")),
        points_per_side=4,
        min_mask_quality=0.0,
        min_stability=0.0,
        nms_iou=0.99,
    )
    assert (settings.makes, settings.class_names) == ("segments", ())

    first, second = settings.build(CPU, FRAMES)([image, image], ["a", "b"])

    np.testing.assert_array_equal(first, second)
    assert first.shape == (60, 90)
    assert len(np.unique(first)) > 2


def test_sam_hq_is_refused(tmp_path: Path) -> None:
    path = write_sam(tmp_path / "hq.pth", SAM.override({"hq": True}))

    with pytest.raises(UserError, match="SAM-HQ makes no three masks"):
        SamSegments(segmenter=str(path)).build(CPU, FRAMES)
