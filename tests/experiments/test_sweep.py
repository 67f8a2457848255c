import pytest
from hypothesis import given
from hypothesis import strategies as st

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.experiments.search_space import Choice, Real, Search, Whole
from olivine.experiments.sweep import Sweep, expand, point_of
from olivine.experiments.sweep_files import find_sweep, sweep_names
from olivine.experiments.sweep_plan import POINT, ROW, SEED, SweepPlan, require_same_contents
from olivine.tracking.tracker import RunKey, RunRecord


class Inner(Spec):
    weight: float = 1.0
    seed: int = 0


class Outer(Spec):
    inner: Inner = Inner()
    epochs: int = 2
    seed: int = 0


def sweep(**changes) -> Sweep:
    fields = {
        "name": "demo",
        "question": "?",
        "metric": "miou",
        "recipe": "none",
        "rows": {"off": {"inner.weight": 0}, "on": {"inner.weight": 1}},
        "seed_names": ("seed", "inner.seed"),
    }
    return Sweep(**{**fields, **changes})


def test_every_row_has_every_seed_in_every_seed_setting():
    trials = expand(sweep(seeds=(3, 5)), Outer())
    assert [trial.name for trial in trials] == [
        "off, seed 3", "on, seed 3", "off, seed 5", "on, seed 5"
    ]  # fmt: skip
    assert all(t.config.seed == t.config.inner.seed == t.seed for t in trials)
    assert [t.config.inner.weight for t in trials] == [0, 1, 0, 1]
    assert len({trial.fingerprint for trial in trials}) == 4


@given(
    weights=st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True),
    epochs=st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True),
    seeds=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
)
def test_a_grid_is_every_combination_once(weights, epochs, seeds):
    grid = {"inner.weight": tuple(weights), "epochs": tuple(epochs)}
    trials = expand(sweep(rows={}, grid=grid, seeds=tuple(seeds)), Outer())
    points = {(t.config.inner.weight, t.config.epochs, t.config.seed) for t in trials}
    assert points == {(w, e, s) for w in weights for e in epochs for s in seeds}
    assert len(trials) == len(points) == len({t.fingerprint for t in trials})


def test_rows_and_grid_cross():
    trials = expand(sweep(grid={"epochs": (1, 2)}, seeds=(0,)), Outer())
    assert [t.row for t in trials] == [
        "off, epochs=1", "on, epochs=1", "off, epochs=2", "on, epochs=2"
    ]  # fmt: skip


def test_identity_follows_settings_and_inputs_and_never_the_label():
    first = expand(sweep(), Outer())
    renamed = expand(sweep(rows={"a": {"inner.weight": 0}, "b": {"inner.weight": 1}}), Outer())
    other = expand(sweep(), Outer(), lambda config: config.fingerprint() + "other data")
    assert [t.fingerprint for t in first] == [t.fingerprint for t in renamed]
    assert not {t.fingerprint for t in first} & {t.fingerprint for t in other}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": {"bad": {"inner.wieght": 0}}}, r"row 'bad'.*Did you mean 'weight'"),
        ({"rows": {"bad": {"epochs": "many"}}}, r"row 'bad'.*'epochs'.*'many'"),
        ({"rows": {}}, "neither rows nor a grid"),
        ({"grid": {"epochs": ()}}, "grid of 'epochs' is empty"),
        ({"seeds": ()}, "no seeds"),
        ({"seeds": (1, 1)}, "has one configuration twice: 'off, seed 1' and 'off, seed 1'"),
        ({"rows": {"a": {"epochs": 2}, "b": {}}}, "'a, seed 0' and 'b, seed 0'"),
        ({"seed_names": ("sed",)}, "Did you mean 'seed'"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_starts(changes, told):
    with pytest.raises(UserError, match=told):
        expand(sweep(**changes), Outer())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": {"a": {"inner.seed": 5}}}, "row 'a' of the sweep 'demo' sets 'inner.seed'"),
        ({"grid": {"seed": (1, 2)}}, "the grid of the sweep 'demo' sets 'seed', which takes the"),
        (
            {"rows": {}, "search": Search(space={"seed": Whole(low=0, high=3)}, num_points=2)},
            "the search of the sweep 'demo' sets 'seed'",
        ),
        ({"rows": {"": {"epochs": 1}}}, "a row of the sweep 'demo' has an empty name"),
    ],
)
def test_a_sweep_whose_seeds_overwrite_a_row_or_whose_row_has_no_name_is_not_made(changes, told):
    with pytest.raises(UserError, match=f"^Settings: {told}"):
        sweep(**changes)


def test_only_keeps_some_rows_and_replaces_seeds():
    assert list(sweep().only(["on"], [7]).rows) == ["on"]
    assert sweep().only(["on"], [7]).seeds == (7,)
    assert sweep().only() == sweep()
    with pytest.raises(UserError, match="Did you mean 'off'"):
        sweep().only(["of"])


def test_a_plan_is_read_back_from_the_settings_of_its_run():
    plan = SweepPlan.of(sweep(), expand(sweep(), Outer()))
    texts = {name: str(value) for name, value in plan.flatten().items()}
    record = RunRecord("id", RunKey("sweep", "x"), "demo", "FINISHED", texts, {})
    read = SweepPlan.read(record)
    assert read == plan
    assert {row: len(found) for row, found in read.rows().items()} == {"off": 3, "on": 3}


def test_the_folder_is_the_registry():
    assert "components" in sweep_names()
    assert find_sweep("components").question.startswith("Which of OLIVINE's components")
    with pytest.raises(UserError, match="Did you mean 'components'"):
        find_sweep("component")


def searched(**changes):
    space = {"inner.weight": Real(low=0.1, high=2.0, log=True), "epochs": Choice(values=(1, 2))}
    return sweep(rows={}, seeds=(3,), search=Search(space=space), **changes)


def test_a_search_has_no_trials_before_it_runs_and_its_points_are_trials():
    assert expand(searched(), Outer()) == ()
    trial = point_of(searched(), Outer(), {"inner.weight": 0.123456, "epochs": 1})
    assert trial.row == "weight=0.1235, epochs=1"
    assert (trial.config.inner.weight, trial.config.inner.seed, trial.config.seed) == (
        0.123456,
        3,
        3,
    )
    assert trial.fingerprint == trial.config.fingerprint()


def test_a_point_is_called_by_the_shortest_names_that_tell_its_settings_apart():
    trial = point_of(searched(), Outer(), {"inner.seed": 1, "seed": 2, "inner.weight": 0.5})
    assert trial.row == "inner.seed=1, seed=2, weight=0.5"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": {"on": {}}}, "make them two sweeps"),
        ({"grid": {"epochs": (1,)}}, "make them two sweeps"),
        ({"seeds": (0, 1)}, "searches with one seed"),
        ({"space": {"inner.wieght": Real(low=0, high=1)}}, "Did you mean 'weight'"),
        ({"space": {"epochs": Choice(values=(1, "many"))}}, "search over 'epochs'.*'many'"),
    ],
)
def test_a_search_that_cannot_be_asked_is_told(changes, told):
    search = Search(space=changes.pop("space", {"epochs": Choice(values=(1, 2))}))
    with pytest.raises(UserError, match=told):
        expand(sweep(**{"rows": {}, "seeds": (0,), "search": search, **changes}), Outer())


@pytest.mark.parametrize(
    "space", [{"low": 1, "high": 1}, {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}]
)
def test_a_range_without_points_is_refused(space):
    for kind in (Real, Whole):
        with pytest.raises(UserError, match="has no points"):
            kind.from_dict(space)


def test_the_plan_of_a_search_gets_its_trials_from_their_runs():
    plan = SweepPlan.of(searched(), (), Outer())
    texts = {name: str(value) for name, value in plan.flatten().items()}
    record = RunRecord("id", RunKey("sweep", "x"), "demo", "FINISHED", texts, {})
    assert SweepPlan.read(record) == plan
    runs = [
        RunRecord(
            f"run {i}", RunKey("trial", f"print {i}"), "x", "FINISHED", {}, {},
            {ROW: f"point {i}", SEED: "3", POINT: str(i)},
        )
        for i in (2, 1, 10)
    ]  # fmt: skip
    found = plan.with_found(runs)
    assert [trial.row for trial in found.trials.values()] == ["point 1", "point 2", "point 10"]
    whole = SweepPlan.of(sweep(), expand(sweep(), Outer()))
    assert whole.with_found(runs) == whole


def test_one_name_asks_one_thing():
    plan = SweepPlan.of(sweep(), expand(sweep(), Outer()))
    fewer = sweep().only(["on"], [0])
    require_same_contents(plan, [plan, SweepPlan.of(fewer, expand(fewer, Outer()))])
    other = sweep(rows={"on": {"inner.weight": 3}})
    with pytest.raises(UserError, match=r"row 'on', seed 0, was another.*--as NAME"):
        require_same_contents(plan, [SweepPlan.of(other, expand(other, Outer()))])
    with pytest.raises(UserError, match="its space or its base configuration was another"):
        require_same_contents(plan, [SweepPlan.of(searched(), (), Outer())])
    renamed = plan.model_copy(update={"name": "mine"})
    require_same_contents(renamed, [SweepPlan.of(other, expand(other, Outer()))])
