"""How many labels does a pretraining save?

Paper's table 1 (Zhang et al., NeurIPS 2024): networks fine-tuned with 1, 5, 10, 25 and 100 % of
nuScenes' labelled scenes. Published with 1 and 100 %: random 30.30 and 74.66, PPKT 37.80 and
74.52, SLidR 38.30 and 74.79, ST-SLidR 40.75 and 75.14, Seal 45.84 and 75.60, OLIVINE 46.1 and 76.1
with Grounded-SAM labels (its first preprint), 50.58 and 76.54 with SEEM's; PointContrast 32.50 and
DepthContrast 31.70 with 1 % alone. ScaLR is not in that table; "OLIVINE next" is our own.

All rows have SLidR's protocol, with its rates (method.md §5). It found them for its own weights;
for a random start its author took 0.05 for head and backbone. The paper's text has 0.05 for the
backbone in every row, its code 0.02 as here.

Cost: 35 rows x 3 seeds of fine-tuning, from 1,700 steps with 1 % to 87,900 with all. Pretrainings
are those of `methods`: 10 x 3 of them, 36.5 hours each on four RTX 3090 at the paper's size, unless
they are in the store.

Expected: the paper's order with 1 %; what pretraining gains shrinks as labels become many, from 20
points to 2 between OLIVINE and random.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from olivine.experiments.sweep import Sweep
from olivine.training.config import EvaluateConfig

from .methods import ROWS, TEN_PERCENT

ONE_PERCENT = {"1 %": {**TEN_PERCENT, "train.scene_step": 100, "num_epochs": 100}}
MORE = {  # one scene in so many
    "5 %": {**TEN_PERCENT, "train.scene_step": 20},
    "10 %": TEN_PERCENT,
    "25 %": {**TEN_PERCENT, "train.scene_step": 4},
    "100 %": {**TEN_PERCENT, "train.scene_step": 1},
}
WITH_MORE_LABELS = ("random", "PPKT", "SLidR", "ST-SLidR", "Seal", "OLIVINE")


def rows(
    scale: Callable[[EvaluateConfig], EvaluateConfig],
    labels: Iterable[str],
    shares: Mapping[str, dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return some methods fine-tuned with every share; a method has one pretraining."""
    pretrained = {label: scale(ROWS[label]()).pretrained for label in labels}
    return {
        f"{label}, {share}": {"pretrained": config, **settings}
        for share, settings in shares.items()
        for label, config in pretrained.items()
    }


SWEEP = Sweep(
    name="label_fraction",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    rows={
        **rows(lambda experiment: experiment, ROWS, ONE_PERCENT),
        **rows(lambda experiment: experiment, WITH_MORE_LABELS, MORE),
    },
    seed_names=("seed", "pretrained.seed"),
    published="methods",
)
