import numpy as np
import pandas as pd
import pytest

from olivine.results.label_report.quality_figures import class_histogram, class_scores, range_scores
from olivine.results.label_report.statistics import ALL, RANGE_NAMES

SHARES = {"pixels_percent": [90.0, 10.0, 0.0], "points_percent": [99.9, 0.1, 0.0]}


def classes(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"label": ["a", "b", "c"], **SHARES, "true_points_percent": np.nan})
    return table.assign(**columns)


def test_a_class_without_any_has_no_mark_and_is_called_so() -> None:
    (axis,) = class_histogram(classes()).axes
    assert [line.get_label() for line in axis.lines] == ["pixels", "points"]
    pixels = dict(zip(axis.lines[0].get_ydata(), axis.lines[0].get_xdata(), strict=True))
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert {names[int(height)]: share for height, share in pixels.items()} == {"a": 90, "b": 10}
    assert [text.get_text() for text in axis.texts] == ["none"]
    assert names[round(axis.texts[0].get_position()[1])] == "c"
    (axis,) = class_histogram(classes(pixels_percent=np.nan, points_percent=np.nan)).axes
    assert [text.get_text() for text in axis.texts] == ["none"] * 3


def test_scores_of_a_class_stand_in_one_line() -> None:
    table = classes(true_class=["a", "b", "c"], iou_percent=[30.0, np.nan, 50.0])
    table = table.assign(precision_percent=[40.0, 0, 60.0], recall_percent=[70.0, 0, 80.0])
    (axis,) = class_scores(table, 40.0).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["a", "c"], "the best on top; one that does not occur is left out"
    assert [bar.get_width() for bar in axis.patches] == [30.0, 50.0]
    by_label = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert by_label == {"precision": [40, 60], "recall": [70, 80], "mIoU": [40, 40]}


def test_scores_by_range_take_data_without_truth() -> None:
    ranges = pd.DataFrame({"range": RANGE_NAMES, "class": ALL, "num_points": 1000})
    ranges[["coverage_percent", "precision_percent", "iou_percent"]] = (50.0, np.nan, np.nan)
    (axis,) = range_scores(ranges).axes
    (line,) = axis.lines
    assert line.get_label() == "labelled"
    assert list(line.get_ydata()) == pytest.approx([50.0] * len(RANGE_NAMES))
    assert axis.get_xticklabels()[-1].get_text() == "50+\n1,000"
