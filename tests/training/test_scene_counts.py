import math

import numpy as np
import pytest
import torch

from olivine.core.checksums import write_checked
from olivine.core.storage import Store
from olivine.training.scene_counts import SceneCounts
from olivine.training.validation import named_scores
from tests.support.run_stores.table_runs import CLASSES, scene_counts


@pytest.mark.parametrize("absent", ["skip", "one"])
def test_scores_of_repeated_scenes_are_those_of_their_summed_counts(absent):
    counts = scene_counts(0.7, num_scenes=5, absent=absent)
    counts.counts[:, 2], counts.counts[:, :, 2] = 0, 0  # a class that never occurs
    weights = np.array([[1, 1, 1, 1, 1], [3, 0, 0, 2, 0], [0, 0, 0, 0, 5]], dtype=float)
    metrics = ["miou", "accuracy", "iou/car", "iou/road"]
    found = counts.scores(metrics, weights)
    for row, times in enumerate(weights.astype(int)):
        summed = torch.from_numpy(np.repeat(counts.counts, times, axis=0).sum(axis=0))
        known = named_scores(summed, CLASSES, absent)
        for metric in metrics:
            assert found[metric][row] == pytest.approx(known[metric])


def test_what_no_point_tells_is_unknown():
    counts = SceneCounts(("a", "b"), np.zeros((2, 3, 3), np.int64), CLASSES, "skip")
    found = counts.scores(["miou", "iou/car", "accuracy"], np.ones((1, 2)))
    assert all(math.isnan(score.item()) for score in found.values())


def test_a_file_holds_all_of_it(tmp_path):
    counts = scene_counts(0.6, num_scenes=3, absent="one")
    store, name = Store(tmp_path), "evaluated/ab12/confusions.npz"
    write_checked(store, name, counts.to_bytes(), "ab12")
    again = SceneCounts.read(store, name)
    assert (again.scenes, again.class_names, again.absent) == (counts.scenes, CLASSES, "one")
    np.testing.assert_array_equal(again.counts, counts.counts)
    assert again.counts.dtype == np.int64


def test_only_scores_of_points_follow_from_counts():
    counts = scene_counts(0.6, num_scenes=3)
    assert [counts.can_score(m) for m in ("miou", "iou/car", "iou/bus", "car", "hours")] == [
        True, True, False, False, False,
    ]  # fmt: skip
