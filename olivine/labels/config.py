"""What a labelling is, and which of the images it takes."""

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
    """Which of the images without a map are taken."""

    limit: int | None = None  # only so many, the first ones
    retry_failed: bool = False  # those that failed before, and no others
    force: bool = False  # all: the maps that are there are removed first


EVERY_NEW_IMAGE = Selection()
