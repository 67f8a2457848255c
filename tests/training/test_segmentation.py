import pytest
import torch
import torch.nn.functional as F

from olivine.data.records import IGNORE
from olivine.training.segmentation import (
    class_iou,
    confusion,
    cross_entropy,
    lovasz_softmax,
    mean_iou,
    scene_confusion,
)

LOGITS = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
TRUTH = torch.arange(50) % 3  # class 3 never occurs


def test_confusion_and_iou_of_a_hand_made_case():
    truth = torch.tensor([0, 0, 0, 1, 1, IGNORE, IGNORE])
    predicted = torch.tensor([0, 0, 1, 1, 2, 0, 3])
    counts = confusion(truth, predicted, 4)
    assert counts.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    iou = class_iou(counts)
    assert iou[:3].tolist() == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert iou[3].isnan()  # neither labelled nor predicted
    assert mean_iou(iou, "skip") == pytest.approx(1 / 3)
    assert mean_iou(iou, "one") == pytest.approx((1 + 1) / 4)


def test_each_scene_has_its_own_counts():
    generator = torch.Generator().manual_seed(1)
    truth, predicted = torch.randint(0, 4, (2, 50), generator=generator)
    truth[::7] = IGNORE
    scenes = torch.randint(0, 3, (50,), generator=generator)
    counts = scene_confusion(truth, predicted, scenes, 5, 4)
    assert counts.shape == (5, 4, 4)
    for scene in range(5):
        here = scenes == scene
        assert torch.equal(counts[scene], confusion(truth[here], predicted[here], 4))
    assert torch.equal(counts.sum(0), confusion(truth, predicted, 4))


def test_losses_ignore_points_without_a_class():
    truth = TRUTH.clone()
    truth[::4] = IGNORE
    known = truth != IGNORE
    for loss in (cross_entropy, lovasz_softmax):
        torch.testing.assert_close(loss(LOGITS, truth), loss(LOGITS[known], truth[known]))
        assert loss(LOGITS, torch.full((50,), IGNORE)).item() == 0.0


def test_lovasz_of_certain_predictions_is_one_minus_the_mean_jaccard():
    predicted = TRUTH.clone()
    predicted[:10] = (predicted[:10] + 1) % 3
    certain = 100.0 * F.one_hot(predicted, 4).float()
    iou = class_iou(confusion(TRUTH, predicted, 4))[:3]
    assert lovasz_softmax(certain, TRUTH).item() == pytest.approx(1 - iou.mean().item(), abs=1e-5)


def test_lovasz_has_a_useful_gradient():
    logits = LOGITS.clone().requires_grad_()
    before = lovasz_softmax(logits, TRUTH)
    before.backward()
    after = lovasz_softmax(logits.detach() - 5 * logits.grad, TRUTH)
    assert after < before


def test_losses_are_in_single_precision_under_autocast() -> None:
    for loss in (cross_entropy, lovasz_softmax):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(LOGITS, TRUTH)
        torch.testing.assert_close(value, loss(LOGITS, TRUTH), rtol=1e-5, atol=0)
