"""Which checkpoints stay, and which is found again."""

from types import SimpleNamespace

import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.experiments.recipes import demo
from olivine.inference.loading import load_backbone
from olivine.training.checkpoints import Checkpoints
from olivine.training.loop import Trainer
from olivine.training.pretrained_weights import load_weights, save_weights


def state(step: int) -> dict:
    return {"step": step, "weight": torch.full((2,), float(step))}


def filled(root, scores: list[float | None], num_kept: int = 2) -> Checkpoints:
    """Return the checkpoints of steps 1, 2, ... with these scores."""
    checkpoints = Checkpoints(Store(root), "run", num_kept)
    for step, score in enumerate(scores, start=1):
        checkpoints.save(step, state(step), score)
    return checkpoints


@pytest.mark.parametrize(
    ("scores", "left", "best"),
    [
        ([None] * 4, [3, 4], None),
        ([1.0, 2.0, 3.0, 4.0], [3, 4], 4),
        ([9.0, 2.0, 3.0, 4.0, 5.0], [1, 4, 5], 1),
        ([5.0, 9.0, 3.0, 9.0, 1.0, 1.0], [2, 5, 6], 2),  # of equals the first
        ([5.0, None, None, None, 7.0, None, None], [5, 6, 7], 5),
        ([7.0, None, None], [1, 2, 3], 1),
        ([None, -3.0, None, None, -4.0], [2, 4, 5], 2),
    ],
)
def test_the_newest_two_and_the_best_stay(tmp_path, scores, left, best):
    checkpoints = filled(tmp_path, scores)
    assert checkpoints.steps() == left
    found = checkpoints.best()
    assert (found and found["step"]) == best
    assert checkpoints.scores() == {i: s for i, s in enumerate(scores, start=1) if s is not None}


def test_another_process_finds_the_best_and_keeps_it(tmp_path):
    filled(tmp_path, [9.0, 1.0, 2.0])
    again = Checkpoints(Store(tmp_path), "run")
    assert again.best()["step"] == 1
    for step in (4, 5, 6):
        again.save(step, state(step))
    assert again.steps() == [1, 5, 6]
    again.save(7, state(7), 10.0)
    assert again.steps() == [6, 7]
    assert again.best()["weight"].tolist() == [7.0, 7.0]


def test_a_score_whose_state_was_never_written_hides_no_best(tmp_path):
    """As where a process dies between the two."""
    checkpoints = filled(tmp_path, [2.0, 1.0, 1.0])
    checkpoints.record_score(4, 99.0)
    assert checkpoints.best()["step"] == 1
    checkpoints.save(4, state(4), 99.0)
    assert checkpoints.best()["step"] == 4


def test_a_best_that_cannot_be_read_is_passed_over_with_a_warning(tmp_path):
    checkpoints = filled(tmp_path, [9.0, 1.0, 2.0])
    broken = tmp_path / "run" / "step_00000001.pt"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.warns(UserWarning, match="The next best checkpoint is used"):
        assert checkpoints.best()["step"] == 3


def test_scores_alone_are_no_checkpoint(tmp_path):
    checkpoints = filled(tmp_path, [])
    checkpoints.record_score(0, 8.0)
    assert checkpoints.best() is None
    assert checkpoints.latest() is None
    assert checkpoints.scores() == {0: 8.0}


@pytest.mark.parametrize("others", [(3, 3), (0, 3), (2, 4)])
def test_workers_that_found_different_checkpoints_all_stop(monkeypatch, others):
    steps = torch.tensor([3, *others])
    totals = torch.stack([steps.sum(), (steps**2).sum()])
    monkeypatch.setattr("olivine.training.loop.sum_over_workers", lambda _: totals)
    for step in steps.tolist():
        trainer = Trainer.__new__(Trainer)
        trainer.name = "pretrain"
        trainer.worker = SimpleNamespace(device=torch.device("cpu"), world_size=3)
        if others == (3, 3):
            trainer._require_same_step(step)
        else:
            with pytest.raises(UserError, match=f"different checkpoints.* step {step}"):
                trainer._require_same_step(step)


def test_damaged_weights_are_refused_with_the_command_that_makes_them(tmp_path):
    store, layer = Store(tmp_path), torch.nn.Linear(9, 2)
    save_weights(store, "backbone.pt", layer.state_dict(), demo().pretrained)
    path = tmp_path / "backbone.pt"
    path.write_bytes(path.read_bytes()[:400] + b"x" + path.read_bytes()[401:])
    with pytest.raises(UserError, match=r"backbone\.pt is damaged.*run `olivine pretrain`"):
        load_weights(store, "backbone.pt", layer, torch.device("cpu"))
    with pytest.raises(UserError, match=r"backbone\.pt is damaged"):
        load_backbone(path)
