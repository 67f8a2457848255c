"""What a search varies: each setting with the values it may take, and how points are given up."""

from typing import Any, Literal

from pydantic import Field, model_validator

from olivine.core.spec import Spec


class Real(Spec):
    """A setting that takes any number in a closed interval."""

    low: float = Field(description="Smallest value of the setting.")
    high: float = Field(description="Largest value of the setting.")
    log: bool = Field(
        default=False, description="Whether values are drawn uniformly on a logarithmic scale."
    )

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
    """A setting that takes any whole number in a closed interval."""

    low: int = Field(description="Smallest value of the setting.")
    high: int = Field(description="Largest value of the setting.")


class Choice(Spec):
    """A setting that takes one of a list of values."""

    values: tuple[Any, ...] = Field(
        min_length=1, description="The values that the setting may take."
    )

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that must all be allowed for every point to be."""
        return self.values


class Search(Spec):
    """A multi-objective search by a tree-structured Parzen estimator.

    Trials are stopped early by asynchronous successive halving (Li et al. 2020): after
    `min_epochs`, and then at every `reduction` times that number, a trial goes on only if its
    `stop_on` is among the best 1/`reduction` of all trials that reached the same epoch.
    """

    space: dict[str, Real | Whole | Choice] = Field(
        min_length=1, description="The values that each setting may take, by its dotted name."
    )
    num_points: int = Field(default=24, ge=1, description="Number of points that are tried.")
    num_random: int = Field(
        default=10,
        ge=1,
        description="Number of points drawn at random before the estimator proposes any.",
    )
    goals: dict[str, Literal["max", "min"]] = Field(
        default={"miou": "max", "hours": "min"},
        min_length=1,
        description="Metrics to optimise, each with its direction: max or min.",
    )
    stop_on: str = Field(
        default="probe_miou",
        description="Metric by which hopeless trials are stopped early; empty stops none.",
    )
    min_epochs: int = Field(
        default=1, ge=1, description="Epochs after which a trial may be stopped for the first time."
    )
    reduction: int = Field(
        default=3, ge=2, description="Halving factor: the best 1/reduction of the trials go on."
    )
