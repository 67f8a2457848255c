"""The same question as `label_fraction`, small enough for two cores: how many labels are saved?

No table of the paper's: the demo's synthetic world has eight training scenes, of which 1, 2, 4 or
all are labelled. Rates are those of `demo_methods`, which also says which labels and superpixels
are made before.

Cost: 24 rows x 3 seeds, about half a minute each on one CPU; pretrainings, and the rows with one
scene, are those of `demo_methods`.

Expected: what pretraining gains shrinks as labels become many.
"""

from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.sweep import Sweep

from .demo_methods import ONE_SCENE
from .label_fraction import WITH_MORE_LABELS, rows

SWEEP = Sweep(
    name="demo_label_fraction",
    question=__doc__ or "",
    metric="miou",
    recipe="demo",
    rows=rows(
        at_demo_scale,
        WITH_MORE_LABELS,
        {
            f"{8 // step} of 8 scenes": {**ONE_SCENE, "train.scene_step": step}
            for step in (8, 4, 2, 1)
        },
    ),
    seed_names=("seed", "pretrained.seed"),
)
