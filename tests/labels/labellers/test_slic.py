from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.segmentation import slic

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.labels.labeller import Labeller
from olivine.labels.labellers.slic import Slic
from tests.support.image_folder import FolderFrames

SIZE = (90, 160)


def segment(labeller: Slic, *images: np.ndarray) -> list[np.ndarray]:
    names = [f"image-{index}.jpg" for index in range(len(images))]
    return labeller.build(torch.device("cpu"), FolderFrames(Path()))(images, names)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Return a red and a blue half with noise, which cannot be written."""
    noise = np.random.default_rng(0).integers(0, 8, (*SIZE, 3), dtype=np.uint8)
    noise[:, :80, 0] += 200
    noise[:, 80:, 2] += 200
    noise.setflags(write=False)
    return noise


def test_segments_cover_the_image_with_ids_from_zero(image: np.ndarray) -> None:
    (ids,) = segment(Slic(), image)

    assert (ids.shape, ids.dtype) == (SIZE, np.uint8)
    np.testing.assert_array_equal(np.unique(ids), np.arange(ids.max() + 1))
    assert 75 < ids.max() + 1 < IGNORE


def test_segments_follow_colours(image: np.ndarray) -> None:
    (ids,) = segment(Slic(sigma_px=0.0), image)

    left, right = ids[:, :80], ids[:, 80:]
    assert not set(np.unique(left)) & set(np.unique(right))


def test_maps_do_not_depend_on_the_batch(image: np.ndarray) -> None:
    other = image[::-1]
    together = segment(Slic(), image, other)

    for ids, alone in zip(together, (image, other), strict=True):
        np.testing.assert_array_equal(ids, segment(Slic(), alone)[0])


def test_more_segments_than_a_map_holds_are_refused(image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"num_segments.*less than or equal to 255"):
        Slic.from_dict({"num_segments": 256})
    with pytest.raises(UserError, match=r"image-0\.jpg into 264 segments.*fewer than"):
        segment(Slic(num_segments=255), np.zeros((224, 416, 3), np.uint8))


def test_it_makes_segments_without_names_and_sees_no_truth() -> None:
    assert (Slic.makes, Slic().class_names, Slic.reads_truth) == ("segments", (), False)
    assert Labeller.makes == "classes"
    assert Slic().identity != Slic(num_segments=30).identity


def test_the_defaults_are_slidrs(shared_data: Path) -> None:
    root = shared_data / "nuscenes_scene0061_keyframe0"
    image = np.array(Image.open(next(root.glob("samples/CAM_FRONT/*.jpg"))))

    (ids,) = segment(Slic(), image)

    expected = slic(image, n_segments=150, compactness=6, sigma=3.0, start_label=0)
    np.testing.assert_array_equal(ids, expected)
