"""Images that are decoded when they are looked at, and no finer than that."""

import io

import numpy as np
import pytest
from PIL import Image

from olivine.core.errors import UserError
from olivine.data.augmentations.crop_images import CropImages
from olivine.data.images import DecodedImage, EncodedImage
from olivine.data.records import Correspondences, Sample

ROWS, COLUMNS = 180, 320


def smooth() -> np.ndarray:
    """Return a picture whose colours say where a pixel is."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    return np.stack([row, column * 0.75, np.full_like(row, 90)], axis=2).astype(np.uint8)


def encoded(
    array: np.ndarray, kind: str = "JPEG", size: tuple[int, int] | None = None
) -> EncodedImage:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **({"quality": 98} if kind == "JPEG" else {}))
    return EncodedImage(stream.getvalue(), "there.jpg", size or array.shape[:2], "the table")


NO_PIXELS = np.zeros((0, 3), np.int64)


def sample(picture, pixels=NO_PIXELS) -> Sample:
    return Sample(
        token="t",
        xyz_m=np.zeros((len(pixels), 3), np.float32),
        intensity=np.zeros(len(pixels), np.float32),
        range_m=np.zeros(len(pixels), np.float32),
        images=(picture,),
        pairs=Correspondences(np.arange(len(pixels)), pixels),
        pair_class=np.zeros(len(pixels), np.uint8),
    )


@pytest.mark.parametrize("shrink", [1, 2, 3, 4, 7, 8, 16])
def test_a_jpeg_is_at_most_so_much_smaller_and_shows_the_same(shrink):
    image, factor = encoded(smooth()).decode(shrink)
    assert factor in (1, 2, 4, 8)
    assert factor <= shrink < 2 * factor or factor == 8
    assert image.size == (COLUMNS // factor, -(-ROWS // factor))
    whole = np.asarray(Image.fromarray(smooth()).reduce(factor), float)[: ROWS // factor]
    difference = np.asarray(image, float)[: ROWS // factor] - whole
    assert np.abs(difference).mean() < 1.0


def test_other_formats_and_arrays_are_decoded_in_full():
    for picture in (encoded(smooth(), "PNG"), DecodedImage(smooth())):
        image, factor = picture.decode(8)
        assert (image.size, factor) == ((COLUMNS, ROWS), 1)
        np.testing.assert_array_equal(picture.pixels(), smooth())
        assert picture.size_px == (ROWS, COLUMNS)


def test_a_grey_jpeg_has_three_channels():
    picture = encoded(smooth()[..., 0])
    assert picture.pixels().shape == (ROWS, COLUMNS, 3)
    assert np.asarray(picture.decode(2)[0]).shape == (ROWS // 2, COLUMNS // 2, 3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [(40, 72), (20, 36), (90, 160), (180, 320)])
@pytest.mark.parametrize("area", [0.3, 1.0])
def test_pairs_stay_on_their_places_however_an_image_was_decoded(seed, size, area):
    """Colours say where a pixel was, so a pair's new pixel must have the colour of its old one."""
    settings = {"rows_px": size[0], "columns_px": size[1], "min_pairs": 0, "min_area": area}
    pixels = np.random.default_rng(seed).integers(0, (1, ROWS, COLUMNS), (500, 3))
    before = sample(encoded(smooth()), pixels)
    for most in (1, 8):
        crop = CropImages(**settings, max_shrink=most)
        cut = crop(before, np.random.default_rng(seed))
        row, column = cut.pairs.pixel_index[:, 1:].T
        colour = cut.images[0].pixels()[row, column].astype(float)
        was = pixels[cut.pairs.point_index]
        pixel_px = np.array([ROWS / size[0], COLUMNS / size[1]])  # of the output, in the image
        error_px = colour[:, :2] / [1, 0.75] - was[:, 1:]
        assert cut.images[0].pixels().shape == (*size, 3)
        assert len(cut.pairs) > 100
        assert (np.abs(error_px).mean(axis=0) < pixel_px + 1).all()
        assert (np.abs(error_px.mean(axis=0)) < 0.2 * pixel_px + 0.8).all()


def test_a_crop_never_has_more_pixels_than_were_decoded(monkeypatch):
    asked = []
    decode = EncodedImage.decode

    def spy(self, shrink=1):
        image, factor = decode(self, shrink)
        asked.append(image.size)
        return image, factor

    monkeypatch.setattr(EncodedImage, "decode", spy)
    crop = CropImages(rows_px=60, columns_px=100, min_area=0.3, min_pairs=0)
    for seed in range(20):
        crop(sample(encoded(smooth())), np.random.default_rng(seed)).images[0].pixels()
    assert set(asked) == {(COLUMNS, ROWS), (COLUMNS // 2, ROWS // 2)}


@pytest.mark.parametrize("shrink", [1, 4])
def test_damage_and_another_size_are_named(shrink):
    whole = encoded(smooth())
    cut = EncodedImage(whole.data[: len(whole.data) // 2], "there.jpg", whole.size, "the table")
    with pytest.raises(UserError, match=r"there\.jpg cannot be decoded .* cut off"):
        cut.decode(shrink)
    other = encoded(smooth(), size=(90, 160))
    with pytest.raises(UserError, match="has 320 x 180 pixels but the table says 160 x 90"):
        other.decode(shrink)
