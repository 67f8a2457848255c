"""What a search varies: each setting with the values it may take, and how points are given up."""

from typing import Any, Literal

from pydantic import Field, model_validator

from olivine.core.spec import Spec


class Real(Spec):
    """A setting that takes any number between two, both included."""

    low: float
    high: float
    log: bool = False  # drawn evenly by order of magnitude

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that must all be allowed for every point to be."""
        return self.low, self.high

    @model_validator(mode="after")
    def _is_a_range(self) -> "Real":
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"a range from {self.low:g} to {self.high:g} has no points")
        return self


class Whole(Real):
    """The same in whole numbers."""

    low: int
    high: int


class Choice(Spec):
    """A setting that takes one of some values."""

    values: tuple[Any, ...] = Field(min_length=1)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that must all be allowed for every point to be."""
        return self.values


class Search(Spec):
    """Points that follow from earlier ones: a tree-structured Parzen estimator with several goals.

    A point is given up by asynchronous successive halving (Li et al. 2020): after `min_epochs`,
    and then whenever `reduction` times as many have passed, if its `stop_on` is not among the best
    1/`reduction` of those that came as far. An empty `stop_on` lets every point end.
    """

    space: dict[str, Real | Whole | Choice] = Field(min_length=1)  # dotted name -> its values
    num_points: int = Field(default=24, ge=1)
    num_random: int = Field(default=10, ge=1)  # points drawn by chance before any is estimated
    goals: dict[str, Literal["max", "min"]] = Field(
        default={"miou": "max", "hours": "min"}, min_length=1
    )
    stop_on: str = "probe_miou"
    min_epochs: int = Field(default=1, ge=1)
    reduction: int = Field(default=3, ge=2)
