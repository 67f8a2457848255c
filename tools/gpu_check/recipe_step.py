"""The step of the recipe `olivine` and the samples that it takes, for the check's parts."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.marked_step import Step
from olivine.core.devices import Precision
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.data.samples import Samples, named
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import recipe
from olivine.models.foundation.resnet import ResNet50
from olivine.training.config import PretrainConfig
from tools.gpu_check.keyframes import labelled
from tools.gpu_check.report import Setup

CONTRAST_FRAMES = 4
RATE = 1e-4  # of learning: random weights shall not diverge in a few dozen steps


class RecipeStep:
    """The recipe's networks at one precision, and samples of the keyframes that it augments.

    At small size it is the recipe at the demo's scale. The teacher's products have the step's
    precision.
    """

    def __init__(self, setup: Setup, precision: Precision):
        self.config = configured(setup, precision)
        reader, num_classes = _labelled(setup)
        self.samples = Samples(reader, named(self.config.augmentations), self.config.seed)
        self.step = Step(self.config, num_classes, setup.device)
        self.device = setup.device

    def batch(self, num_frames: int) -> Batch:
        """Return a batch in pinned memory, as a loader process makes it."""
        keys = [(0, number) for number in range(num_frames)]
        batch = Collate(self.config.voxels)([self.samples[key] for key in keys])
        return batch.pin_memory() if self.device.startswith("cuda") else batch


@cache
def _labelled(setup: Setup) -> Any:
    return labelled(setup)


def configured(setup: Setup, precision: Precision) -> PretrainConfig:
    """Return the recipe with random weights, and with the vMF term in its dearest state."""
    experiment = recipe("olivine")
    changes: dict[str, Any] = {
        "precision": precision,
        "batch_frames": CONTRAST_FRAMES,
        "contrast_frames": CONTRAST_FRAMES,
        "optimiser.lr": RATE,
        "method.terms.compact.loss.warmup_steps": 0,
        "method.terms.compact.loss.freeze": False,
    }
    if setup.is_small:
        return at_demo_scale(experiment).pretrained.override(changes)
    weights = Path(setup.scratch, "resnet50.pt")
    if not weights.exists():
        torch.save(ResNet50(dilated=True).network.state_dict(), weights)
    of_teacher = "tf32" if precision == "float32" else precision  # the recipe's, or the step's
    changes |= {"teacher.weights": str(weights), "teacher.precision": of_teacher}
    return experiment.pretrained.override(changes)
