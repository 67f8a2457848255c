"""Trials that share work wait for the first of them; nothing here needs a running Ray."""

import pickle

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.search import Searcher

from olivine.experiments.expanded_sweep import ExpandedSweep, first_points
from olivine.experiments.limits import Limits, Meter
from olivine.experiments.search_space import Choice, Real, Search
from olivine.experiments.sweep import Sweep, expand
from olivine.runners.on_ray.search_queue import SearchQueue
from olivine.runners.on_ray.trial_queue import TrialQueue
from olivine.tracking.tracker import FAILURE, RunKey, RunRecord
from tests.support.sweep_driver import Experiment, sweep


def meter(**limits):
    return Meter(Limits(**limits), 1.0, 0.0)


def work_of(config):
    return f"{config.pretrained.rate:.1f}"[-1]  # some rates share their last digit


@given(
    rates=st.lists(st.integers(0, 99), min_size=1, max_size=12, unique=True),
    slots=st.integers(1, 4),
    picks=st.data(),
)
def test_every_trial_comes_once_and_no_shared_work_twice_at_a_time(rates, slots, picks):
    rows = {f"rate {r}": {"pretrained.rate": r / 10} for r in rates}
    trials = expand(sweep(rows, seeds=(0,)), Experiment())
    done = {work_of(trials[0].config)} if len(rates) % 2 else set()
    queue, running, seen, number = TrialQueue(trials, work_of, meter(), done), {}, [], 0
    while True:
        answer = queue.suggest(f"id{number}") if len(running) < slots else None
        if isinstance(answer, dict):
            running[f"id{number}"] = answer
            seen.append(answer["fingerprint"])
            number += 1
            works = [work_of(queue.running[one].config) for one in running]
            todo = [work for work in works if work not in done]
            assert len(todo) == len(set(todo))
            continue
        waiting = {work_of(t.config) for t in trials if t.fingerprint not in seen}
        if len(running) < slots:
            assert not waiting & done  # nobody waits for work that is done
        if not running:
            assert answer == Searcher.FINISHED
            break
        ended = picks.draw(st.sampled_from(sorted(running)))
        error, trial = picks.draw(st.booleans()), queue.running[ended]
        queue.on_trial_complete(ended, {}, error=error)
        del running[ended]
        done |= set() if error else {work_of(trial.config)}
    assert sorted(seen) == sorted(trial.fingerprint for trial in trials)


def test_trials_without_shared_work_never_wait():
    rows = {f"rate {r}": {"pretrained.rate": r / 10} for r in range(3)}
    trials = expand(sweep(rows, seeds=(0,)), Experiment())
    queue = TrialQueue(trials, lambda config: "", meter())
    assert [queue.suggest(str(i))["row"] for i in range(3)] == list(rows)


def test_at_a_limit_no_trial_starts():
    trials = expand(sweep({"a": {}}, seeds=(0, 1, 2)), Experiment())
    queue = TrialQueue(trials, lambda config: "", meter(max_trials=2))
    answers = [queue.suggest(str(i)) for i in range(3)]
    assert [isinstance(answer, dict) for answer in answers] == [True, True, False]
    assert answers[2] == Searcher.FINISHED


def searched(num_points=6) -> Sweep:
    space = {
        "pretrained.rate": Real(low=0.1, high=1.0),
        "behaviour": Choice(values=("work", "rest")),
    }
    return sweep({}, seeds=(0,)).model_copy(
        update={"search": Search(space=space, num_points=num_points)}
    )


def queue_of(asked, earlier=()):
    return SearchQueue(
        asked, Experiment(), Experiment.fingerprint, earlier, meter(), take=lambda *point: None
    )


def drain(queue, result):
    """Run every point that is suggested, one by one."""
    found = []
    while isinstance(answer := queue.suggest(str(len(found))), dict):
        trial = queue.running[str(len(found))]
        queue.on_trial_complete(str(len(found)), result(trial))
        found.append((trial, answer["point"]))
    assert answer == Searcher.FINISHED
    return found


def scores(trial):
    return {"miou": 100 * trial.config.pretrained.rate, "hours": 1.0}


def test_a_search_gives_as_many_points_as_it_was_asked_for():
    found = drain(queue_of(searched()), scores)
    assert [number for _, number in found] == [1, 2, 3, 4, 5, 6]
    assert len({trial.fingerprint for trial, _ in found}) == 6
    assert all(0.1 <= trial.config.pretrained.rate <= 1 for trial, _ in found)


def test_a_dry_run_tells_the_points_that_a_search_begins_with():
    asked = searched()
    told = first_points(ExpandedSweep(asked, (), Experiment()))
    assert list(told) == [trial for trial, _ in drain(queue_of(asked), scores)]


def record(trial, number, status, failure=""):
    texts = {name: str(value) for name, value in trial.config.flatten().items()}
    tags = {"olivine.point": str(number), **({FAILURE: failure} if failure else {})}
    metrics = scores(trial) if status == "FINISHED" else {}
    return RunRecord("r", RunKey("trial", trial.fingerprint), "x", status, texts, metrics, tags)


def test_an_earlier_start_is_gone_on_with():
    """Finished and given-up points count; what was cut off or failed runs again, first."""
    asked = searched()
    found = drain(queue_of(asked), scores)
    ends = [("FINISHED", ""), ("KILLED", "The search gave it up: epoch 1"), ("KILLED", "killed")]
    earlier = [
        record(trial, number, *end) for (trial, number), end in zip(found, ends, strict=False)
    ]
    again = drain(queue_of(asked, earlier), scores)
    assert again[0] == found[2]
    assert [number for _, number in again] == [3, 4, 5, 6]
    known = {trial.fingerprint for trial, _ in found[:2]}
    assert not known & {trial.fingerprint for trial, _ in again}


def test_a_point_that_comes_again_is_not_run_again():
    space = {"behaviour": Choice(values=("work", "rest"))}
    asked = searched().model_copy(update={"search": Search(space=space, num_points=10)})
    found = drain(queue_of(asked), scores)
    assert sorted(trial.config.behaviour for trial, _ in found) == ["rest", "work"]


def test_nothing_of_a_queue_goes_into_tunes_own_record():
    for queue in (queue_of(searched()), TrialQueue((), lambda config: "", meter())):
        assert vars(pickle.loads(pickle.dumps(queue))) == {}
