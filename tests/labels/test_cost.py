import pytest

from olivine.core.errors import UserError
from olivine.labels.cost import JobCost
from olivine.labels.records import ImageResult, Usage


def done(name: str, usage: Usage | None = None) -> ImageResult:
    return ImageResult(name, "done", "", (3, 1), usage)


def test_gpu_hours_and_cost_follow_from_what_every_actor_held() -> None:
    cost = JobCost(1, usd_per_gpu_hour=2.0, gpu_hours_before=1.0)
    for usage in (
        Usage("a", 1800.0, 900.0, 0.5),
        Usage("b", 3600.0, 2700.0, 0.5),
        Usage("a", 600.0, 300.0, 0.5),  # an older word of the first, which came late
    ):
        cost.add(done("x", usage))

    assert cost.gpu_hours == pytest.approx(1.0 + 0.25 + 0.5)
    assert cost.spent() == "1.75 GPU-hours, 3.50 USD"
    metrics = cost.metrics()
    assert metrics["actor_s_per_image"] == pytest.approx(3600 / 3)
    assert metrics["actor_busy_share"] == pytest.approx(3600 / 5400)
    assert metrics["cost_usd"] == pytest.approx(3.5)
    assert metrics["gpus_per_actor"] == 0.5
    assert metrics["images_per_s"] > 0
    assert cost.class_pixels.tolist() == [9, 3]


def test_without_a_gpu_or_a_price_nothing_is_said_of_cost() -> None:
    on_cpu, unpriced = JobCost(1, usd_per_gpu_hour=2.0), JobCost(1)
    on_cpu.add(done("x", Usage("a", 100.0, 50.0, 0.0)))
    unpriced.add(done("x", Usage("a", 7200.0, 50.0, 1.0)))

    assert on_cpu.spent() == ""
    assert unpriced.spent() == "2 GPU-hours"
    assert "cost_usd" not in unpriced.metrics()
    assert JobCost(1).metrics() == {}


@pytest.mark.parametrize(("num_good", "stops"), [(94, True), (95, False)])
def test_more_failures_than_the_share_stop_it_after_a_hundred(num_good: int, stops: bool) -> None:
    cost = JobCost(1, max_failed_share=0.05)
    for number in range(5):  # all of the first five, but five say nothing
        cost.add(ImageResult(f"bad{number}", "failed", "cut off."))
    for number in range(num_good):
        cost.add(done(f"good{number}"))
    last = ImageResult("last", "failed", "cut off.")
    if stops:
        with pytest.raises(UserError, match=r"6 of the first 100 .*The last is last: cut off\. "):
            cost.add(last)
    else:
        for number in range(20):  # 5 of 100, and fewer of more
            cost.add(done(f"more{number}"))
        cost.add(last)


def test_a_fatal_outcome_is_the_users_sentence() -> None:
    with pytest.raises(UserError, match=r"^Cannot write it\.$"):
        JobCost(1).add(ImageResult("x", "fatal", "Cannot write it."))
