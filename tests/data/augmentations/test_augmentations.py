"""What every augmentation must keep: pairs go on pointing at the same point and the same pixel."""

import numpy as np
import pytest

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.images import DecodedImage
from olivine.data.records import Correspondences, Sample

NUM_POINTS = NUM_PAIRS = 900
ROWS, COLUMNS = 90, 160


def make_sample(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    xyz_m = rng.normal(0, 10, (NUM_POINTS, 3)).astype(np.float32)
    pixel = np.stack(
        [rng.integers(0, n, NUM_PAIRS) for n in (3, ROWS, COLUMNS)], axis=1, dtype=np.int64
    )
    # Each pixel's colour is a smooth function of its place, so a moved pair can be recognised.
    row, column = np.mgrid[:ROWS, :COLUMNS]
    image = np.stack([row * 2, column, np.full_like(row, 7)], axis=2).astype(np.uint8)
    return Sample(
        token="t",
        xyz_m=xyz_m,
        intensity=np.arange(NUM_POINTS, dtype=np.float32),  # names the point
        range_m=np.hypot(xyz_m[:, 0], xyz_m[:, 1]),
        images=(DecodedImage(image),) * 3,
        pairs=Correspondences(rng.permutation(NUM_POINTS), pixel),
        pair_class=rng.integers(0, 16, NUM_PAIRS).astype(np.uint8),
        class_ids=rng.integers(0, 16, NUM_POINTS).astype(np.uint8),
    )


def names(sample: Sample) -> set[tuple]:
    """Identify pairs by the point's name and their class."""
    point = sample.intensity[sample.pairs.point_index]
    return set(zip(point.tolist(), sample.pair_class.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_rotate_flip_is_an_isometry_that_leaves_height_range_and_pairs(seed):
    sample = make_sample(seed)
    moved = RotateFlip()(sample, np.random.default_rng(seed))
    horizontal = np.hypot(moved.xyz_m[:, 0], moved.xyz_m[:, 1])
    np.testing.assert_allclose(horizontal, sample.range_m, rtol=1e-5)
    np.testing.assert_array_equal(moved.xyz_m[:, 2], sample.xyz_m[:, 2])
    gaps = [np.linalg.norm(s.xyz_m[1:] - s.xyz_m[:-1], axis=1) for s in (sample, moved)]
    np.testing.assert_allclose(*gaps, rtol=1e-4)
    assert moved.pairs is sample.pairs


@pytest.mark.parametrize("seed", range(8))
def test_drop_cuboid_keeps_points_and_their_pairs_together(seed):
    sample = make_sample(seed)
    cut = DropCuboid(max_share=1.0, min_pairs=10)(sample, np.random.default_rng(seed))
    kept = cut.intensity.astype(int)
    np.testing.assert_array_equal(cut.xyz_m, sample.xyz_m[kept])
    np.testing.assert_array_equal(cut.class_ids, sample.class_ids[kept])
    survivors = np.isin(sample.pairs.point_index, kept)
    assert len(cut.pairs) == survivors.sum()
    assert names(cut) == names(sample.with_pairs(survivors))


def test_drop_cuboid_is_undone_where_an_image_would_keep_too_few_pairs():
    sample = make_sample(0)
    assert DropCuboid(max_share=1.0, min_pairs=10_000)(sample, np.random.default_rng(0)) is sample


@pytest.mark.parametrize("seed", range(8))
def test_crop_moves_pairs_with_their_pixels(seed):
    sample = make_sample(seed)
    crop = CropImages(rows_px=45, columns_px=80, min_area=0.6, min_pairs=10)
    cut = crop(sample, np.random.default_rng(seed))
    assert [image.pixels().shape for image in cut.images] == [(45, 80, 3)] * 3
    camera, row, column = cut.pairs.pixel_index.T
    assert (row < 45).all()
    assert (column < 80).all()
    # The colour under a moved pair is its old place, up to the resampling's blur.
    old = {
        (int(p), int(c), k): (r, col)
        for p, (c, r, col), k in zip(
            sample.pairs.point_index, sample.pairs.pixel_index, sample.pair_class, strict=True
        )
    }
    found = np.stack([image.pixels() for image in cut.images])[camera, row, column]
    for i, point in enumerate(cut.pairs.point_index):
        r, c = old[int(point), int(camera[i]), cut.pair_class[i]]
        assert abs(int(found[i, 0]) - 2 * r) <= 8
        assert abs(int(found[i, 1]) - c) <= 5


def test_min_area_one_only_resizes_and_keeps_every_pair():
    sample = make_sample(1)
    whole = CropImages(rows_px=45, columns_px=80, min_area=1.0, flip_chance=0.0)
    cut = whole(sample, np.random.default_rng(0))
    assert len(cut.pairs) == NUM_PAIRS
    scaled = sample.pairs.pixel_index[np.argsort(sample.pairs.pixel_index[:, 0], kind="stable")]
    np.testing.assert_array_equal(cut.pairs.pixel_index[:, 1:], scaled[:, 1:] // 2)


def test_a_camera_without_pairs_does_not_hang_the_crop():
    sample = make_sample(2)
    empty = sample.with_pairs(sample.pairs.pixel_index[:, 0] != 1)
    cut = CropImages(rows_px=45, columns_px=80)(empty, np.random.default_rng(0))
    assert (cut.pairs.pixel_index[:, 0] != 1).all()
    assert len(cut.images) == 3


def test_the_same_generator_gives_the_same_sample():
    for augment in (RotateFlip(), DropCuboid(min_pairs=1), CropImages(rows_px=45, columns_px=80)):
        one, two = (augment(make_sample(3), np.random.default_rng(5)) for _ in range(2))
        np.testing.assert_array_equal(one.xyz_m, two.xyz_m)
        for image, other in zip(one.images, two.images, strict=True):
            np.testing.assert_array_equal(image.pixels(), other.pixels())
