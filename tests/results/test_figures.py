import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from olivine.data.records import IGNORE
from olivine.results.figures import WRONG, error_figure, learning_curves, score_bars

NAMES = ("car", "pedestrian", "something new")
RED = tuple(bytes.fromhex(WRONG[1:]))


def scan(num_points=400):
    generator = np.random.default_rng(0)
    xyz_m = generator.uniform(-50, 50, (num_points, 3)).astype(np.float32)
    return xyz_m, generator.integers(0, len(NAMES), num_points).astype(np.uint8)


def num_red(path) -> int:
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(image - RED).max(axis=2) < 40).sum())


def test_errors_are_red_and_ignored_points_are_no_errors(tmp_path):
    xyz_m, truth = scan()
    wrong = (truth + 1) % len(NAMES)
    unlabelled = np.full_like(truth, IGNORE)
    counts = [
        num_red(error_figure(tmp_path / f"{name}.png", xyz_m, true, {"m": predicted}, NAMES))
        for name, true, predicted in [
            ("right", truth, truth),
            ("ignored", unlabelled, wrong),
            ("wrong", truth, wrong),
        ]
    ]
    assert counts[0] == counts[1], "only the legend is red"
    assert counts[2] > 2 * counts[0]


def test_a_panel_per_method_and_the_same_bytes_again(tmp_path):
    xyz_m, truth = scan()
    one = error_figure(tmp_path / "one.png", xyz_m, truth, {"a": truth}, NAMES)
    two = error_figure(tmp_path / "two.png", xyz_m, truth, {"a": truth, "b": truth}, NAMES)
    again = error_figure(tmp_path / "again.png", xyz_m, truth, {"a": truth}, NAMES)
    assert Image.open(two).width == pytest.approx(1.5 * Image.open(one).width, rel=0.02)
    assert one.read_bytes() == again.read_bytes()


def test_curves_and_bars_take_missing_seeds_and_uneven_steps(tmp_path):
    curves = pd.DataFrame(
        [("a", 0, step, 1 / (step + 1)) for step in range(20)]
        + [("a", 1, step, 2 / (step + 1)) for step in range(0, 20, 2)]
        + [("b", 0, step, 1.0) for step in range(5)],
        columns=["method", "seed", "step", "value"],
    )
    lines = [
        ("a", "miou", 30.0, 2.0, 3),
        ("b", "miou", 31.0, np.nan, 1),
        ("c", "miou", np.nan, np.nan, 0),
    ]
    table = pd.DataFrame(lines, columns=["method", "metric", "mean", "std", "n"])
    drawn = [
        learning_curves(tmp_path / "curves.png", curves, "loss", log=True),
        score_bars(tmp_path / "bars.png", table, "miou", baseline="a"),
    ]
    for path in drawn:
        assert np.asarray(Image.open(io.BytesIO(path.read_bytes()))).std() > 5


def test_no_screen_and_no_global_state():
    code = "import olivine.results.figures, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
