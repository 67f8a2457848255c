import numpy as np
import pytest

from olivine.data.records import IGNORE, Frame
from olivine.labels.quality import agreement_of, confusion_of, evenly, points_by_camera, true_ids


def test_names_that_mean_the_same_class_meet() -> None:
    ids = true_ids(("road", "car", "unicorn"), ("car", "driveable_surface"))

    assert ids[[0, 1, 2, IGNORE]].tolist() == [1, 0, IGNORE, IGNORE]


def test_agreement_counted_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1, IGNORE, 0]], np.uint8)
    labels = np.array([[0, 1, 1, IGNORE, 0, 0]], np.uint8)

    result = agreement_of(confusion_of(truth, labels, 3), ("a", "b", "c"))

    assert result is not None
    assert result.num_compared == 5
    assert result.coverage == pytest.approx(4 / 5)
    assert result.accuracy == pytest.approx(3 / 4)
    assert result.iou == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert result.miou == pytest.approx(0.5)
    assert result.precision == pytest.approx({"a": 1.0, "b": 1 / 2})
    assert result.recall == pytest.approx({"a": 2 / 3, "b": 1 / 2})


def test_nothing_to_compare_is_no_agreement() -> None:
    truth = np.full((2, 2), IGNORE, np.uint8)

    assert agreement_of(confusion_of(truth, truth, 3), ("a", "b", "c")) is None


def test_a_point_has_the_label_of_its_nearest_pixel() -> None:
    frame = Frame(
        token="t",
        scene="s",
        time_ns=0,
        xyz_m=np.array([[0.26, 0.0, 2.0], [0.0, 0.0, -2.0]]),  # the second is behind the camera
        intensity=np.zeros(2),
        images=(),
        image_names=("a.jpg",),
        cam_SE3_lidar=np.eye(4)[None],
        intrinsics_px=np.array([[[10.0, 0, 5], [0, 10, 4], [0, 0, 1]]]),
        image_size_px=np.array([[8, 12]]),
    )
    ids = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)

    points = points_by_camera(frame, {0: ids})[0]

    assert points.point_index.tolist() == [0]
    assert (points.row.tolist(), points.column.tolist()) == ([4], [6])  # 5 + 10 · 0.26 / 2 = 6.3
    assert points.label.tolist() == [ids[4, 6]]
    assert points_by_camera(frame, {}) == {}


def test_samples_are_spread_over_all_names() -> None:
    names = [str(i) for i in range(10)]

    assert evenly(names, 20) == names
    assert evenly(names, 5) == ["0", "2", "4", "6", "8"]
