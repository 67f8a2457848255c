"""A run is found by its id or fingerprint, or the beginning of one."""

import pytest

from olivine.core.errors import UserError
from olivine.inference.runs import find_run
from olivine.tracking.tracker import NullTracker, RunKey, RunRecord, Tracker


class Kept(NullTracker):
    """A store with these runs."""

    def __init__(self, *runs: RunRecord):
        self._runs = runs

    def records(self, stage=None, tags=None, *, fingerprints=None, columns=None):
        return list(self._runs)


def record(run_id: str, stage: str, fingerprint: str, status: str = "FINISHED") -> RunRecord:
    tags = {"olivine.failure": "out of memory"} if status == "FAILED" else {}
    return RunRecord(run_id, RunKey(stage, fingerprint), f"{stage} seed 0", status, {}, {}, tags)


def test_a_beginning_that_two_runs_share_is_told_with_both():
    store = Kept(record("1" * 32, "pretrain", "abc1"), record("2" * 32, "evaluate", "abc2"))
    with pytest.raises(UserError) as told:
        find_run("abc", store, "the store")
    assert "begins 2 runs: " in str(told.value)
    assert "abc1 (pretrain: pretrain seed 0)" in str(told.value)
    assert "abc2 (evaluate: evaluate seed 0)" in str(told.value)
    assert find_run("abc1", store, "").key.stage == "pretrain"
    assert find_run("2222", store, "").key.fingerprint == "abc2"


def test_a_whole_fingerprint_is_meant_also_where_another_begins_with_it():
    store = Kept(record("1" * 32, "pretrain", "abc"), record("2" * 32, "pretrain", "abcd"))
    assert find_run("abc", store, "").key.fingerprint == "abc"


def test_a_trial_is_its_evaluation_and_of_several_runs_the_newest_finished_is_taken():
    store: Tracker = Kept(
        record("4" * 32, "evaluate", "abc", "FAILED"),
        record("3" * 32, "evaluate", "abc"),
        record("2" * 32, "evaluate", "abc"),
        record("1" * 32, "trial", "abc"),
    )
    assert find_run("abc", store, "").run_id == "3" * 32
    assert find_run("1" * 32, store, "").run_id == "3" * 32
    assert find_run("2" * 32, store, "").run_id == "2" * 32
    with pytest.raises(UserError, match=r"is FAILED \(out of memory\): it has left no weights"):
        find_run("4" * 32, store, "")


def test_runs_without_weights_are_told():
    store = Kept(record("1" * 32, "sweep", "aaa"), record("2" * 32, "trial", "bbb"))
    with pytest.raises(UserError, match=r"is of the stage 'sweep'.*leaves no weights"):
        find_run("aaa", store, "")
    with pytest.raises(UserError, match="a trial without an evaluation"):
        find_run("bbb", store, "")
