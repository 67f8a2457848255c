import numpy as np
import pytest
from PIL import Image

from olivine.data.records import IGNORE
from olivine.labels.quality import CameraPoints, true_ids
from olivine.results.colours import CLASS_COLOURS
from olivine.results.label_report.pictures import (
    LabelledView,
    camera_picture,
    overlay,
    palette,
)

ROWS, COLUMNS = 90, 160
NAMES = ("road", "pedestrian")
TRUE_NAMES = ("pedestrian", "driveable_surface")
BLUE = np.array([int(CLASS_COLOURS["pedestrian"][i : i + 2], 16) for i in (1, 3, 5)])


def labelled(row: int, column: int, truth: int | None) -> LabelledView:
    """Return a black image without labels that sees one point, which has the label pedestrian."""
    points = CameraPoints(
        np.array([0]), np.array([row]), np.array([column]), np.array([1], np.uint8)
    )
    return LabelledView(
        image=np.zeros((ROWS, COLUMNS, 3), np.uint8),
        ids=np.full((ROWS, COLUMNS), IGNORE, np.uint8),
        points=points,
        point_truth=None if truth is None else np.array([truth], np.uint8),
        true_id=true_ids(NAMES, TRUE_NAMES),
        label_names=NAMES,
        true_names=TRUE_NAMES,
    )


def pixels_like(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(axis=2) < 30


@pytest.mark.parametrize(("row", "column"), [(20, 30), (70, 130)])
def test_a_point_is_drawn_at_its_pixel(tmp_path, row, column):
    path = camera_picture(tmp_path / "one.png", labelled(row, column, None), "title")
    image = np.asarray(Image.open(path).convert("RGB"))

    # The panel of points is the lower left one: black, as wide as half the picture.
    panel = image[:, : image.shape[1] // 2]
    dark = np.flatnonzero((panel.max(axis=2) < 8).mean(axis=1) > 0.9)
    top = dark[np.flatnonzero(np.diff(dark) > 1)[-1] + 1]
    height, width = dark[-1] + 1 - top, 800
    at = np.argwhere(pixels_like(panel[top : top + height], BLUE)).mean(axis=0)
    assert at[0] == pytest.approx((row + 0.5) * height / ROWS, abs=6)
    assert at[1] == pytest.approx((column + 0.5) * width / COLUMNS, abs=6)


def test_only_a_wrong_point_has_a_ring(tmp_path):
    right, wrong = (
        np.asarray(Image.open(camera_picture(tmp_path / f"{t}.png", labelled(45, 80, t), "")))
        for t in (0, 1)
    )
    left = right.shape[1] // 2
    changed = (right[:, :left] != wrong[:, :left]).any(axis=2)
    rows, columns = np.nonzero(changed[: int(0.9 * len(changed))])  # the legend lies below
    assert 0 < np.ptp(rows) < 40, "a ring around the point, nothing else"
    assert 0 < np.ptp(columns) < 40


def test_labels_colour_their_pixels_and_only_these():
    image = np.full((4, 6, 3), 100, np.uint8)
    ids = np.full((4, 6), IGNORE, np.uint8)
    ids[:, 3:] = 1

    drawn = overlay(image, ids, palette(NAMES)).astype(int)

    assert (np.ptp(drawn[:, :3], axis=2) == 0).all(), "grey where there is no label"
    assert drawn[:, :3].min() > 200
    assert (drawn[:, 3:].argmax(axis=2) == BLUE.argmax()).all()


def test_a_label_has_the_colour_of_the_class_it_means():
    assert (palette(("road",))[0] == palette(("driveable_surface",))[0]).all()
    assert (palette(NAMES)[IGNORE] == 1).all()
