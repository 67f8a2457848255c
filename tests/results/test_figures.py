import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from olivine.data.records import IGNORE
from olivine.results.colours import WRONG, line_styles
from olivine.results.figures import (
    DOUBLE_COLUMN_INCHES,
    DPI,
    SINGLE_COLUMN_INCHES,
    TEXT_POINTS,
    error_figure,
    learning_curves,
    save,
    score_bars,
)
from olivine.results.label_report.quality_figures import class_histogram, class_scores, range_scores
from olivine.results.label_report.statistics import ALL, RANGE_NAMES

NAMES = ("car", "pedestrian", "something new")
RED = tuple(bytes.fromhex(WRONG[1:]))
LONG = "a method whose name is by far too long for one column of a paper"


def scan(num_points=400):
    generator = np.random.default_rng(0)
    xyz_m = generator.uniform(-50, 50, (num_points, 3)).astype(np.float32)
    return xyz_m, generator.integers(0, len(NAMES), num_points).astype(np.uint8)


def image_of(figure: Figure) -> np.ndarray:
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=DPI)
    return np.asarray(Image.open(stream).convert("RGB")).astype(int)


def num_red(figure: Figure) -> int:
    return int((np.abs(image_of(figure) - RED).max(axis=2) < 40).sum())


def curves_of(names: list[str]) -> pd.DataFrame:
    lines = [(name, name, seed, step, 1 / (step + 1) + seed)
             for name in names for seed in range(2) for step in range(0, 20, 1 + seed)]  # fmt: skip
    return pd.DataFrame(lines, columns=["name", "method", "seed", "step", "value"])


def bars_of(names: list[str]) -> pd.DataFrame:
    lines = [(name, "miou", 30.0 + i, 2.0 if i else np.nan, 3) for i, name in enumerate(names)]
    lines.append(("none", "miou", np.nan, np.nan, 0))
    return pd.DataFrame(lines, columns=["method", "metric", "mean", "std", "n"])


def classes_of() -> pd.DataFrame:
    names = [f"construction_vehicle_{i}" for i in range(16)]
    table = pd.DataFrame({"label": names, "true_class": names})
    for column in ("pixels", "points", "true_points", "iou", "precision", "recall"):
        table[f"{column}_percent"] = np.linspace(0, 60, 16)
    return table


def ranges_of() -> pd.DataFrame:
    ranges = pd.DataFrame({"range": RANGE_NAMES, "class": ALL, "num_points": 1_234_567})
    return ranges.assign(coverage_percent=50.0, precision_percent=np.nan, iou_percent=20.0)


def shown_texts(figure: Figure) -> list[Text]:
    """Return what can be read: ticks beyond the ends of an axis are not drawn."""
    beyond: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    beyond |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [text for text in texts if text not in beyond]


def every_figure() -> dict[str, Figure]:
    xyz_m, truth = scan()
    rows = ["PPKT", "OLIVINE", "none"]
    many = [f"method {i}" for i in range(20)]
    return {
        "errors": error_figure(xyz_m, truth, {"a": truth, LONG: truth}, NAMES),
        "bars": score_bars(bars_of(rows[:2]), line_styles(rows), "miou", label="mIoU (%)"),
        "wide bars": score_bars(
            bars_of([LONG]), line_styles([LONG, "none"]), "miou", label="mIoU (%)"
        ),
        "curves": learning_curves(curves_of(rows), line_styles(rows), "loss"),
        "many curves": learning_curves(curves_of(many), line_styles(many), "loss"),
        "histogram": class_histogram(classes_of()),
        "scores": class_scores(classes_of(), 30.0),
        "ranges": range_scores(ranges_of()),
    }


def test_errors_are_red_and_ignored_points_are_no_errors():
    xyz_m, truth = scan()
    wrong = (truth + 1) % len(NAMES)
    unlabelled = np.full_like(truth, IGNORE)
    counts = [
        num_red(error_figure(xyz_m, true, {"m": predicted}, NAMES))
        for true, predicted in [(truth, truth), (unlabelled, wrong), (truth, wrong)]
    ]
    assert counts[0] == counts[1], "only the legend is red"
    assert counts[2] > 2 * counts[0]


def test_a_panel_of_points_stands_for_each_method_beside_the_truth():
    xyz_m, truth = scan()
    near = (np.abs(xyz_m[:, :2]) <= 40).all(axis=1)
    half = np.where(np.cumsum(near) % 2, truth, (truth + 1) % len(NAMES))
    figure = error_figure(xyz_m, truth, {"a": truth, "b": half}, NAMES)
    share = 100 * (near.sum() // 2) / near.sum()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["truth", "a: 0.0 % wrong", f"b: {share:.1f} % wrong"]
    boxes = [axis.get_position() for axis in figure.axes]
    width, height = figure.get_size_inches()
    for box in boxes:
        assert box.width * width == pytest.approx(box.height * height), "metres are square"


def test_every_figure_is_as_wide_as_a_column_and_no_text_is_small_or_cut():
    for name, figure in every_figure().items():
        width, _ = figure.get_size_inches()
        assert width in (SINGLE_COLUMN_INCHES, DOUBLE_COLUMN_INCHES), name
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # lays it out
        renderer = canvas.get_renderer()
        texts = shown_texts(figure)
        assert len(texts) > 5, name
        for text in texts:
            assert text.get_fontsize() >= TEXT_POINTS, (name, text)
            box, page = text.get_window_extent(renderer), figure.bbox
            assert box.x0 >= -1 and box.y0 >= -1, (name, text)  # noqa: PT018
            assert box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1, (name, text)  # noqa: PT018


def test_a_figure_is_written_as_pixels_and_as_vectors_with_the_same_bytes_again(tmp_path):
    for folder in ("one", "two"):
        for name, figure in every_figure().items():
            png, pdf = save(figure, tmp_path / folder, name)
            width, height = figure.get_size_inches()
            assert Image.open(png).size == (int(width * DPI), int(height * DPI))
            page = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf.read_bytes())
            assert float(page[1]) == pytest.approx(72 * width)
            assert b"/FontFile2" in pdf.read_bytes(), "its letters are in it, as vectors"
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_method_has_its_colour_in_bars_and_curves():
    rows = ["PPKT", "OLIVINE"]
    styles = line_styles([*rows, "none"])
    bars = score_bars(bars_of(rows), styles, "miou", label="mIoU (%)").axes[0].patches
    lines = learning_curves(curves_of(rows), styles, "loss").axes[0].lines
    for bar, line, row in zip(bars, lines, rows, strict=False):
        assert line.get_color() == styles[row].colour
        expected = [int(line.get_color()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert bar.get_facecolor()[:3] == pytest.approx(expected)


def test_curves_are_means_over_the_seeds_that_have_a_step():
    line = learning_curves(curves_of(["a"]), line_styles(["a"]), "loss").axes[0].lines[0]
    steps, means = line.get_data()
    assert list(steps) == list(range(20))
    assert means[0] == pytest.approx(1.5)
    assert means[1] == pytest.approx(0.5), "one seed alone"


def test_bars_tell_their_scores_and_mark_the_baseline():
    table = bars_of(["PPKT", "OLIVINE"])
    styles = line_styles(table["method"])
    axis = score_bars(table, styles, "miou", label="mIoU (%)", baseline="PPKT").axes[0]
    told = [text.get_text() for text in axis.texts]
    assert told == ["30.00 (n=3)", "31.00 ± 2.00 (n=3)", "no finished run"]
    assert axis.get_xlabel() == "mIoU (%)\ndotted: PPKT"
    assert 30.0 in [line.get_xdata()[0] for line in axis.lines]


def test_no_screen_and_no_global_state():
    code = "import olivine.results.figures, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
