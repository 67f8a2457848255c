"""Numbers of a label report, against a case small enough to count by hand."""

import numpy as np
import pytest

from olivine.data.records import IGNORE, Frame
from olivine.results.label_report.statistics import (
    ALL,
    RANGE_NAMES,
    LabelStatistics,
    class_table,
    group_table,
    largest_confusions,
)

TRUE_NAMES = ("car", "driveable_surface", "manmade")
LABEL_NAMES = ("road", "car", "unicorn")  # ids 0, 1, 2; none means manmade
ROAD, CAR, UNICORN = 0, 1, 2
CAMERA_SE3_SENSOR = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
BACK = np.diag([-1.0, -1.0, 1.0, 1.0])  # half a turn about the vertical


def two_cameras() -> tuple[Frame, dict[int, np.ndarray]]:
    """Return eight points at known pixels: five before the front camera, two behind, one unseen.

    A point at (x, y) is seen at column 8 + 8 x / y, in the row at half the height.
    """
    points = [  # x, y in metres, true class, the label at its pixel by the table below
        (-2.0, 4.0, 1),  # front, 4.5 m, column 4: road, right
        (0.0, 4.0, 0),  # front, 4 m, column 8: road, wrong
        (2.0, 4.0, 0),  # front, 4.5 m, column 12: car, right
        (0.5, 12.0, 1),  # front, 12 m, column 8: road, right
        (20.0, 40.0, IGNORE),  # front, 44.7 m, column 12: car, truth unknown
        (0.0, -60.0, 2),  # back, 60 m, column 8: unicorn, which is no true class
        (2.0, -4.0, 2),  # back, 4.5 m, column 4: no label
        (0.0, 0.5, 0),  # nearer than a metre: unseen
    ]
    xyz_m = np.array([(x, y, 0.0) for x, y, _ in points])
    intrinsics_px = np.array([[8.0, 0, 8], [0, 8, 4.5], [0, 0, 1]])
    frame = Frame(
        token="t",
        scene="s",
        time_ns=0,
        xyz_m=xyz_m,
        intensity=np.zeros(len(points)),
        images=(),
        image_names=("front.jpg", "back.jpg"),
        cam_SE3_lidar=np.stack([CAMERA_SE3_SENSOR, CAMERA_SE3_SENSOR @ BACK]),
        intrinsics_px=np.stack([intrinsics_px] * 2),
        image_size_px=np.array([[9, 16]] * 2),
        class_ids=np.array([c for *_, c in points], np.uint8),
    )
    front = np.full((9, 16), ROAD, np.uint8)
    front[:, 10:] = CAR
    back = np.full((9, 16), IGNORE, np.uint8)
    back[:, 7:10] = UNICORN
    return frame, {0: front, 1: back}


@pytest.fixture
def statistics() -> LabelStatistics:
    frame, maps = two_cameras()
    statistics = LabelStatistics(("FRONT", "BACK"), LABEL_NAMES, TRUE_NAMES)
    statistics.add(frame, maps)
    return statistics


def row(table, **where) -> dict:
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0].to_dict()


def test_coverage_and_sizes_by_hand(statistics):
    assert (statistics.num_frames, statistics.num_images) == (1, 2)
    assert (statistics.num_scan_points, statistics.num_seen_points) == (8, 7)
    assert statistics.point_coverage == pytest.approx(6 / 7)
    assert statistics.pixel_coverage == pytest.approx((16 + 3) / 32)
    assert statistics.unknown_labels() == ["unicorn"]
    assert statistics.pixels is None


def test_precision_recall_and_iou_of_classes_by_hand(statistics):
    table = class_table(statistics)

    road = row(table, label="road")
    assert road["true_class"] == "driveable_surface"
    assert road["num_points"] == 3
    assert road["points_percent"] == pytest.approx(100 * 3 / 6)
    assert road["pixels_percent"] == pytest.approx(100 * 10 / 19)
    assert road["true_points_percent"] == pytest.approx(100 * 2 / 6)
    assert road["precision_percent"] == pytest.approx(100 * 2 / 3)
    assert road["recall_percent"] == pytest.approx(100)
    assert road["iou_percent"] == pytest.approx(100 * 2 / 3)
    car = row(table, label="car")
    assert (car["num_points"], car["precision_percent"]) == (2, 100)
    assert car["recall_percent"] == car["iou_percent"] == pytest.approx(50)
    # No label means it, so it stands at the end of the table and every point of it is a miss.
    never = row(table, label="")
    assert (never["true_class"], never["recall_percent"]) == ("manmade", 0)
    assert np.isnan(never["precision_percent"])
    assert statistics.points.miou == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert statistics.points.accuracy == pytest.approx(3 / 4)


def test_scores_by_camera_by_hand(statistics):
    table = group_table(statistics, "camera")

    front = row(table, camera="FRONT", **{"class": ALL})
    assert (front["num_points"], front["coverage_percent"]) == (5, 100)
    assert front["precision_percent"] == front["recall_percent"] == pytest.approx(75)
    assert front["iou_percent"] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    back = row(table, camera="BACK", **{"class": ALL})
    assert (back["num_points"], back["coverage_percent"]) == (2, 50)
    assert np.isnan(back["precision_percent"]), "no label there means a true class"
    assert (back["recall_percent"], back["iou_percent"]) == (0, 0)
    car = row(table, camera="FRONT", **{"class": "car"})
    assert (car["num_points"], car["coverage_percent"], car["recall_percent"]) == (2, 100, 50)


def test_scores_by_range_by_hand(statistics):
    table = group_table(statistics, "range")

    expected = {  # points, labelled, of these with known truth right, mIoU
        RANGE_NAMES[0]: (4, 75, 100 * 2 / 3, 100 * (1 / 2 + 1 / 2 + 0) / 3),
        RANGE_NAMES[1]: (1, 100, 100, 100),
        RANGE_NAMES[2]: (0, np.nan, np.nan, np.nan),
        RANGE_NAMES[3]: (1, 100, np.nan, np.nan),
        RANGE_NAMES[4]: (1, 100, np.nan, 0),
    }
    for name, numbers in expected.items():
        line = row(table, range=name, **{"class": ALL})
        columns = ("num_points", "coverage_percent", "precision_percent", "iou_percent")
        found = [line[column] for column in columns]
        assert found == pytest.approx(numbers, nan_ok=True), name


def test_confusions_say_how_many_points_have_which_wrong_label(statistics):
    (only,) = largest_confusions(statistics)

    assert (only.labelled, only.truly, only.num_points) == ("driveable_surface", "car", 1)
    assert only.share_of_label == pytest.approx(1 / 3)
    assert only.share_of_errors == 1


def test_sums_do_not_depend_on_how_frames_and_cameras_come(statistics):
    frame, maps = two_cameras()
    apart = LabelStatistics(("FRONT", "BACK"), LABEL_NAMES, TRUE_NAMES)
    apart.add(frame, {1: maps[1]})
    apart.add(frame, {0: maps[0]})

    assert apart.points == statistics.points
    assert (apart.point_labels == statistics.point_labels).all()
    assert (apart.pixel_labels == statistics.pixel_labels).all()


def test_pixels_are_compared_where_their_truth_is_known():
    frame, maps = two_cameras()
    truth = {"front.jpg": np.full((9, 16), 1, np.uint8), "back.jpg": np.full((9, 16), 2, np.uint8)}
    statistics = LabelStatistics(("FRONT", "BACK"), LABEL_NAMES, TRUE_NAMES)
    statistics.add(frame, maps, truth.__getitem__)

    assert statistics.pixels.num_compared == 2 * 9 * 16
    assert statistics.pixels.accuracy == pytest.approx(10 / 16)
    road = row(class_table(statistics), label="road")
    assert road["pixel_recall_percent"] == pytest.approx(100 * 10 / 16)


def test_without_truth_there_is_coverage_and_nothing_else():
    frame, maps = two_cameras()
    unknown = Frame(**{**vars(frame), "class_ids": None})
    statistics = LabelStatistics(("FRONT", "BACK"), LABEL_NAMES, TRUE_NAMES)
    statistics.add(unknown, maps)

    assert statistics.points is None
    table = group_table(statistics, "camera")
    assert table["class"].tolist() == [ALL, ALL]
    assert table["coverage_percent"].tolist() == [100, 50]
    assert table["iou_percent"].isna().all()
    assert class_table(statistics)["precision_percent"].isna().all()
    assert largest_confusions(statistics) == []
