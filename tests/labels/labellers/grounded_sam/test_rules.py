import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.data.records import IGNORE
from olivine.labels.labellers.grounded_sam.rules import (
    Detections,
    Overlap,
    choose,
    paint_masks,
    suppress,
)
from olivine.models.foundation.torchvision_ops import ensure_torchvision, nms

TOKENS = [[1], [3, 4]]  # of two prompts; 0, 2, 5 and 6 are separators
SIZE = (10, 20)


@pytest.fixture(autouse=True, scope="module")
def _torchvision() -> None:
    ensure_torchvision()


def detections(boxes: list[list[float]], prompts: list[int], scores: list[float]) -> Detections:
    return Detections(
        torch.tensor(boxes, dtype=torch.float32), torch.tensor(prompts), torch.tensor(scores)
    )


def masks(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    found = torch.zeros((len(boxes), *SIZE), dtype=torch.bool)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        found[index, y0:y1, x0:x1] = True
    return found


def painted(found: Detections, some: torch.Tensor, overlap: Overlap) -> torch.Tensor:
    return paint_masks(found, lambda chosen: some[chosen], [3, 5], SIZE, overlap)


def test_a_box_answers_the_prompt_of_its_best_token() -> None:
    probabilities = torch.zeros((4, 7))
    probabilities[0, 1] = 0.4
    probabilities[1, 4], probabilities[1, 1] = 0.6, 0.5  # the second word of the second prompt
    probabilities[2, 1] = 0.2  # below the box threshold
    probabilities[3, 2], probabilities[3, 1] = 0.9, 0.1  # a separator, and no prompt
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0]]).repeat(4, 1)

    found = choose(probabilities, boxes, TOKENS, SIZE, box_threshold=0.3, text_threshold=0.25)

    assert found.prompts.tolist() == [1, 0]  # best first
    torch.testing.assert_close(found.scores, torch.tensor([0.6, 0.4]))


def test_boxes_come_in_pixels_and_inside_the_image() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.2], [0.0, 0.0, 0.5, 0.5]])
    probabilities = torch.tensor([0.9, 0.8])[:, None].expand(2, 7)

    found = choose(probabilities, boxes, TOKENS, SIZE, box_threshold=0.3, text_threshold=0.25)

    torch.testing.assert_close(
        found.boxes_px, torch.tensor([[5.0, 4.0, 15.0, 6.0], [0.0, 0.0, 5.0, 2.5]])
    )


def test_both_thresholds_count() -> None:
    probabilities = torch.tensor([[0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0]])
    boxes = torch.tensor([[0.5, 0.5, 0.1, 0.1]])

    def num_found(box_threshold: float, text_threshold: float) -> int:
        return len(
            choose(
                probabilities,
                boxes,
                TOKENS,
                SIZE,
                box_threshold=box_threshold,
                text_threshold=text_threshold,
            ).scores
        )

    assert [num_found(0.3, 0.3), num_found(0.5, 0.3), num_found(0.3, 0.5)] == [1, 0, 0]


def test_one_thing_found_by_two_prompts_is_one_thing() -> None:
    found = detections([[0, 0, 10, 10], [0, 0, 10, 9], [12, 0, 20, 10]], [0, 1, 1], [0.9, 0.8, 0.7])

    assert suppress(found, 0.8).prompts.tolist() == [0, 1]
    assert len(suppress(found, 1.0).scores) == 3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 40), st.floats(0.05, 0.95))
def test_kept_boxes_overlap_little_and_dropped_ones_much(
    seed: int, num_boxes: int, threshold: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand((num_boxes, 4), generator=generator)
    boxes[:, 2:] += boxes[:, :2] + 0.01
    scores = torch.rand(num_boxes, generator=generator)

    kept = nms(boxes, scores, threshold).tolist()

    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    for index in range(num_boxes):
        better = [other for other in kept if scores[other] > scores[index]]
        covered = any(iou(boxes[other], boxes[index]) > threshold for other in better)
        assert covered == (index not in kept)


def iou(one: torch.Tensor, other: torch.Tensor) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inner = max(width, 0) * max(height, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(inner / (area - inner))


@pytest.mark.parametrize(("overlap", "winner"), [("score", 3), ("smallest", 5), ("drawn", 5)])
def test_the_rule_says_who_gets_a_pixel(overlap: Overlap, winner: int) -> None:
    found = detections([[0, 0, 10, 10], [2, 2, 5, 5]], [0, 1], [0.9, 0.5])

    ids = painted(found, masks((0, 0, 10, 10), (2, 2, 5, 5)), overlap)

    assert ids[3, 3] == winner
    assert ids[0, 0] == 3
    assert ids[0, 15] == IGNORE


def test_the_smallest_mask_wins_where_it_has_the_better_score_too() -> None:
    found = detections([[2, 2, 5, 5], [0, 0, 10, 10]], [1, 0], [0.9, 0.5])
    some = masks((2, 2, 5, 5), (0, 0, 10, 10))

    assert painted(found, some, "smallest")[3, 3] == 5
    assert painted(found, some, "drawn")[3, 3] == 3


@pytest.mark.parametrize("overlap", ["score", "smallest", "drawn"])
def test_many_masks_are_painted_as_one_by_one(overlap: Overlap) -> None:
    rng = np.random.default_rng(0)
    num_masks = 40  # more than go at once
    corners = np.sort(rng.integers(0, [20, 10], (num_masks, 2, 2)), axis=1).reshape(-1, 4)
    some = masks(*[(x0, y0, x1 + 1, y1 + 1) for x0, y0, x1, y1 in corners.tolist()])
    prompts = rng.integers(0, 2, num_masks).tolist()
    scores = sorted(rng.random(num_masks).tolist(), reverse=True)
    found = detections([[0.0] * 4] * num_masks, prompts, scores)

    order = {
        "score": list(range(num_masks))[::-1],
        "drawn": list(range(num_masks)),
        "smallest": sorted(range(num_masks), key=lambda i: (-int(some[i].sum()), -i)),
    }[overlap]
    expected = np.full(SIZE, IGNORE)
    for index in order:  # later ones overwrite
        expected[some[index].numpy()] = [3, 5][prompts[index]]

    np.testing.assert_array_equal(painted(found, some, overlap), expected)


def test_without_a_box_nothing_is_painted() -> None:
    found = detections([[0.0] * 4], [0], [0.5]).take(torch.zeros(0, dtype=torch.int64))

    assert (painted(found, masks(), "score") == IGNORE).all()
