"""The closed-form classifier against scikit-learn's, and what must not change its answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeClassifier

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.training.ridge import RowSums, best_miou, ridge_classifiers
from olivine.training.segmentation import confusion

CPU = torch.device("cpu")
NUM_CLASSES, NUM_CHANNELS = 5, 6


def example(seed: int, number: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows with very different scales and means, and classes that they tell in part.

    The last class is never seen.
    """
    generator = torch.Generator().manual_seed(seed)
    chances = torch.tensor([0.6, 0.25, 0.1, 0.05])
    classes = torch.multinomial(chances, number, replacement=True, generator=generator)
    centres = torch.randn(NUM_CLASSES, NUM_CHANNELS, generator=generator)
    rows = centres[classes] + torch.randn(number, NUM_CHANNELS, generator=generator)
    scales = 10.0 ** torch.arange(-3, NUM_CHANNELS - 3)
    return (rows + 2) * scales, classes


def summed(rows: torch.Tensor, classes: torch.Tensor) -> RowSums:
    sums = RowSums.empty(NUM_CLASSES, rows.shape[1], CPU)
    sums.add(rows, classes)
    return sums


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("penalty", [1e-6, 1e-2, 1.0])
def test_scores_equal_those_of_scikit_learn(balance, penalty):
    rows, classes = example(0)
    found = ridge_classifiers(summed(rows, classes), [10.0, penalty], balance=balance)
    counts = np.bincount(classes, minlength=NUM_CLASSES)
    weights = counts[classes] ** -balance
    weights /= weights.sum()
    scaled = rows.double().numpy()
    mean = weights @ scaled
    scaled = (scaled - mean) / np.sqrt(weights @ (scaled - mean) ** 2)
    ridge = Ridge(alpha=penalty, solver="cholesky")
    ridge.fit(scaled, np.eye(NUM_CLASSES)[classes], sample_weight=weights)
    scores = found.scores(rows)[1].numpy()
    np.testing.assert_allclose(scores, ridge.predict(scaled), atol=1e-8)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-9)


def test_classes_equal_those_of_scikit_learns_classifier():
    """Its targets are -1 and 1 where ours are 0 and 1; its balanced weights have a mean of 1."""
    rows, classes = example(1)
    rows = rows / rows.std(dim=0)
    for balance, class_weight in ((0.0, None), (1.0, "balanced")):
        found = ridge_classifiers(summed(rows, classes), [0.03], balance=balance, standardise=False)
        oracle = RidgeClassifier(alpha=0.03 * len(rows), class_weight=class_weight)
        oracle.fit(rows.double().numpy(), classes)
        assert found.predict(rows)[0].tolist() == oracle.predict(rows.double().numpy()).tolist()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_neither_batches_nor_their_order_matter(seed, cuts):
    rows, classes = example(seed)
    whole = ridge_classifiers(summed(rows, classes), [1e-3], balance=0.5)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    sums = RowSums.empty(NUM_CLASSES, NUM_CHANNELS, CPU)
    for part in order.tensor_split(sorted(cuts)):
        sums.add(rows[part], classes[part])
    again = ridge_classifiers(sums, [1e-3], balance=0.5)
    torch.testing.assert_close(again.scores(rows), whole.scores(rows), atol=1e-7, rtol=1e-7)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5), scale=st.floats(0.01, 100))
def test_standardised_channels_may_have_any_mean_and_scale(seed, shift, scale):
    rows, classes = example(seed)
    one = ridge_classifiers(summed(rows, classes), [0.1]).scores(rows)
    moved = (rows.double() + shift * rows.std(dim=0)) * scale
    two = ridge_classifiers(summed(moved, classes), [0.1]).scores(moved)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_rows_without_a_class_count_nowhere():
    rows, classes = example(2)
    more = torch.cat([rows, torch.full_like(rows, 1e6)])
    hidden = torch.cat([classes, torch.full_like(classes, IGNORE)])
    one, two = summed(rows, classes), summed(more, hidden)
    torch.testing.assert_close(one.moments, two.moments)


def test_classes_that_lie_apart_are_told_without_a_mistake():
    classes = torch.arange(NUM_CLASSES).repeat(40)
    rows = torch.eye(NUM_CLASSES)[classes] * 3 + 0.01 * torch.randn(
        len(classes), NUM_CLASSES, generator=torch.Generator().manual_seed(0)
    )
    found = ridge_classifiers(summed(rows, classes), [1e-3, 1e-6])
    counts = torch.stack([confusion(classes, p, NUM_CLASSES) for p in found.predict(rows)])
    assert best_miou(counts) == 100.0


@pytest.mark.parametrize("value", [0.0, 7.3, -1e4])
@pytest.mark.parametrize("standardise", [True, False])
def test_channels_that_are_constant_give_the_most_frequent_class(value, standardise):
    classes = torch.tensor([2] * 30 + [1] * 20 + [3] * 25)
    rows = torch.full((len(classes), NUM_CHANNELS), value)
    found = ridge_classifiers(summed(rows, classes), [1e-6, 1.0], standardise=standardise)
    assert (found.predict(rows) == 2).all()


def test_one_constant_channel_changes_nothing():
    rows, classes = example(3)
    wide = torch.cat([rows, torch.full_like(rows[:, :1], 123.0)], dim=1)
    one = ridge_classifiers(summed(rows, classes), [1e-4]).scores(rows)
    two = ridge_classifiers(summed(wide, classes), [1e-4]).scores(wide)
    torch.testing.assert_close(one, two)


def test_a_class_that_was_never_seen_is_never_said():
    rows, classes = example(4)
    found = ridge_classifiers(summed(rows, classes), [1e-6, 100.0], balance=1.0)
    assert (found.predict(rows) < NUM_CLASSES - 1).all()


def test_the_score_is_the_best_penaltys_and_leaves_absent_classes_out():
    good, bad = (
        torch.tensor([[8, 2, 0], [0, 5, 0], [0, 0, 0]]),
        torch.tensor([[0, 10, 0], [5, 0, 0], [0, 0, 0]]),
    )
    assert best_miou(torch.stack([bad, good])) == pytest.approx(100 * (8 / 10 + 5 / 7) / 2)


def test_without_any_class_the_error_says_what_to_look_at():
    rows = torch.randn(10, NUM_CHANNELS)
    with pytest.raises(UserError, match="probe_frames"):
        ridge_classifiers(summed(rows, torch.full((10,), IGNORE)), [1.0])
