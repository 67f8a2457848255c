"""The same question as `cost`, small enough for two cores: what does a pretraining cost?

No table of the paper's: the demo's teacher is a filter bank, so the share of a step that a real
teacher takes, most of it, is missing here. `demo_methods` says which labels and superpixels are
made before.

Cost: 10 rows x 3 seeds of 2 epochs, some seconds each on one CPU.

Expected: PointContrast and DepthContrast least, as they read no images; Seal most, with a second
scan in every step.
"""

from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.sweep import Sweep

from .cost import rows

SWEEP = Sweep(
    name="demo_cost",
    question=__doc__ or "",
    metric="hours",
    recipe="demo",
    rows=rows(at_demo_scale, {"num_epochs": 1, "train.scene_step": 8}),
    seed_names=("seed", "pretrained.seed"),
)
