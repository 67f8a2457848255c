"""Work that is done is found wherever it lies, and nobody does it twice at a time."""

import multiprocessing
import time
from pathlib import Path

import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.experiments.recipes import recipe
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey
from olivine.training.checkpoints import save_state
from olivine.training.finished_runs import (
    OUT,
    find_finished,
    older_settings,
    one_at_a_time,
)
from olivine.training.pretrain import PretrainSettings

KEY = RunKey("pretrain", "0123456789ab")
NAME = "pretrained/0123456789ab/backbone.pt"


@pytest.fixture
def tracker(tmp_path):
    tracker = MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", cache=str(tmp_path / "cache"))
    tracker.ensure_store()
    return tracker


def finish(tracker, out: Path, name: str = NAME) -> None:
    """Leave a finished run and its file."""
    with tracker.run(KEY, "theirs", Spec(), {OUT: str(out)}):
        path = out / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")


def test_nothing_is_found_before_it_is_finished(tracker, tmp_path):
    runtime = Runtime(out=str(tmp_path / "mine"))
    assert find_finished(KEY, runtime, tracker, [NAME]) is None
    with pytest.raises(ValueError), tracker.run(KEY, "mine", Spec(), {OUT: runtime.out}):  # noqa: PT011
        raise ValueError
    assert find_finished(KEY, runtime, tracker, []) is None


def test_what_somebody_else_left_elsewhere_is_fetched(tracker, tmp_path):
    finish(tracker, tmp_path / "theirs")
    mine = Runtime(out=str(tmp_path / "mine"))
    record = find_finished(KEY, mine, tracker, [NAME])
    assert record is not None
    assert (tmp_path / "mine" / NAME).read_bytes() == b"weights"


@pytest.mark.parametrize("files", [["other.pt"], [NAME, "other.pt"]])
def test_a_run_whose_files_are_gone_is_no_use(tracker, tmp_path, files):
    finish(tracker, tmp_path / "theirs")
    assert find_finished(KEY, Runtime(out=str(tmp_path / "mine")), tracker, files) is None


def test_a_run_that_is_older_than_asked_for_does_not_count(tracker, tmp_path):
    finish(tracker, tmp_path)
    runtime = Runtime(out=str(tmp_path))
    assert find_finished(KEY, runtime, tracker, [NAME])
    now = runtime.override({"not_before_s": time.time() + 1})
    assert find_finished(KEY, now, tracker, [NAME]) is None


def hold(out: str, ledger: str) -> None:
    with one_at_a_time(KEY, Runtime(out=out)):
        for word in ("begins", "ends"):
            with Path(ledger).open("a") as stream:
                stream.write(f"{word}\n")
            time.sleep(0.2)


def test_processes_take_turns(tmp_path):
    ledger = tmp_path / "ledger.txt"
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=hold, args=(str(tmp_path), str(ledger))) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    assert ledger.read_text().split() == ["begins", "ends"] * 3


def test_settings_that_an_earlier_version_had_without_a_choice_are_named():
    new = recipe("olivine_1_percent")
    earlier, changes = older_settings(new)
    bank = "pretrained.method.terms.compact.loss.bank=pooled"
    assert changes == f"{bank}, backbone.bn_momentum=null"
    assert earlier.evaluated_backbone == new.pretrained.backbone
    assert older_settings(PretrainSettings(pretrained=new.pretrained))[1] == bank
    for same in (recipe("ppkt"), earlier):  # a linear probe has no use for its momentum
        assert older_settings(same) == (same, "")


def test_a_damaged_file_of_somebody_else_is_not_fetched(tracker, tmp_path):
    finish(tracker, tmp_path / "theirs")
    save_state(Store(tmp_path / "theirs"), NAME, {"weight": torch.zeros(9)})
    path = tmp_path / "theirs" / NAME
    path.write_bytes(path.read_bytes()[:300] + b"x" + path.read_bytes()[301:])
    with pytest.raises(UserError, match=r"is damaged.*remove it there, or run again with --force"):
        find_finished(KEY, Runtime(out=str(tmp_path / "mine")), tracker, [NAME])
    assert not (tmp_path / "mine" / NAME).exists()
