"""The settings of a labelling job, and which of the images it takes."""

from dataclasses import dataclass

from pydantic import Field

from olivine.core.spec import Spec
from olivine.data.dataset import Dataset
from olivine.labels.labeller import Labeller


class LabelConfig(Spec):
    """One labelling job: the images and the labeller."""

    dataset: Dataset = Field(description="Data set whose images are labelled.")
    labeller: Labeller = Field(description="Labeller that makes the maps.")


@dataclass(frozen=True)
class Selection:
    """Which of the images without a map are labelled."""

    limit: int | None = None  # the first ones, at most this many
    retry_failed: bool = False  # only those that failed before
    force: bool = False  # all of them: existing maps are removed first
    adopt: bool = False  # take over the maps of a version before 0.3 first


EVERY_NEW_IMAGE = Selection()
