from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from olivine.core.errors import UserError
from olivine.labels.labellers.imported_segments import ImportedSegments
from tests.support.image_folder import FolderFrames, write_images

CPU = torch.device("cpu")


def test_segments_are_taken_as_they_are(tmp_path: Path) -> None:
    names = write_images(tmp_path, 3)
    frames = FolderFrames(tmp_path)
    rng = np.random.default_rng(0)
    images = [frames.read_image(name) for name in names]
    given = [rng.integers(0, 256, image.shape[:2], dtype=np.uint8) for image in images]
    for name, ids in zip(names, given, strict=True):
        path = tmp_path / name.replace("samples/", "superpixels/").replace("jpg", "png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids).save(path)

    taken = ImportedSegments(source="SEEM").build(CPU, frames)(images, names)

    for ids, expected in zip(taken, given, strict=True):
        np.testing.assert_array_equal(ids, expected)


def test_they_have_a_source_and_no_names(tmp_path: Path) -> None:
    segments = ImportedSegments(source="SEEM")
    assert (segments.makes, segments.class_names) == ("segments", ())
    assert segments.identity == ImportedSegments(source="SEEM", folder="/mnt/seem").identity
    assert segments.identity != ImportedSegments(source="SAM").identity
    with pytest.raises(UserError, match="need a name"):
        _ = ImportedSegments().identity
    write_images(tmp_path, 1)
    with pytest.raises(UserError, match="No label map is where it should be"):
        segments.build(CPU, FolderFrames(tmp_path))
