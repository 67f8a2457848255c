"""Points of a search follow from the scores before them, and survive a crash of the driver."""

import math

import pytest

from olivine.experiments.point_search import PointSearch
from olivine.experiments.search_space import Choice, Real, Search, Whole

SPACE = {
    "rate": Real(low=1e-4, high=1.0, log=True),
    "depth": Whole(low=1, high=4),
    "kind": Choice(values=("a", "b", None)),
}


def search(**changes):
    return Search(space=SPACE, **changes)


def score(settings):
    """Best at rate 0.1, whatever the rest; dearer the deeper."""
    return {
        "miou": -((math.log10(settings["rate"]) + 1) ** 2),
        "hours": float(settings["depth"]),
    }


def run(points, number):
    found = []
    for _ in range(number):
        index, settings = points.suggest()
        points.add_scores(index, score(settings))
        found.append(settings)
    return found


def test_points_lie_in_the_space():
    for settings in run(PointSearch(search(), 0), 30):
        assert 1e-4 <= settings["rate"] <= 1
        assert settings["depth"] in (1, 2, 3, 4)
        assert settings["kind"] in ("a", "b", None)


def test_equal_seeds_suggest_equal_points_and_others_others():
    first, second, other = (run(PointSearch(search(), seed), 15) for seed in (3, 3, 4))
    assert first == second
    assert first != other


def test_it_learns_where_the_best_points_are():
    one_goal = search(goals={"miou": "max"})
    found = [score(settings)["miou"] for settings in run(PointSearch(one_goal, 0), 60)]
    assert sum(found[40:]) / 20 > sum(found[:10]) / 10  # the first ten are drawn at random
    assert max(found) > -0.05


def test_no_point_beats_a_best_one_in_every_goal():
    points = PointSearch(search(), 0)
    found = [score(settings) for settings in run(points, 30)]
    for best in map(score, points.best()):
        assert not any(
            other["miou"] > best["miou"] and other["hours"] < best["hours"] for other in found
        )


def test_a_study_built_again_knows_what_was_found():
    points = PointSearch(search(), 0)
    found = run(points, 20)
    again = PointSearch(search(), 1)
    for settings in found:
        again.add_earlier(settings, score(settings))
    again.add_earlier({"rate": 0.5, "depth": 1, "kind": "a"}, None)  # stopped early: no score
    assert again.num_points == 21
    assert sorted(map(str, again.best())) == sorted(map(str, points.best()))


@pytest.mark.parametrize("scores", [None, {"miou": 1.0}, {"miou": math.nan, "hours": 1.0}])
def test_a_point_without_every_score_counts_and_is_no_best_one(scores):
    points = PointSearch(search(), 0)
    number, _ = points.suggest()
    points.add_scores(number, scores)
    run(points, 1)
    assert points.num_points == 2
    assert len(points.best()) == 1
