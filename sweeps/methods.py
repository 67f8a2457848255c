"""Which pretraining makes the network best with the fewest labels?

Paper's table 1 (Zhang et al., NeurIPS 2024): every method with the same student, by linear probe
and fine-tuned on a share of the labelled scenes. Published linear probes: random 8.1,
PointContrast 21.90, DepthContrast 22.10, PPKT 35.90, SLidR 38.80, ST-SLidR 40.48, Seal 44.95,
OLIVINE 47.3 with Grounded-SAM labels (its first preprint) and 50.09 with SEEM's. ScaLR is not in
that table; the last row is a recipe of our own.

Cost: 11 rows x 2 protocols x 5 seeds. Pretrainings are shared by the two protocols: 10 x 5 of
them, 36.5 hours each on four RTX 3090 at the paper's size.

Expected: the paper's order, with the two methods without images between random and PPKT.
"""

from collections.abc import Callable
from typing import Any

from olivine.experiments import recipes
from olivine.experiments.sweep import Sweep
from olivine.training.config import EvaluateConfig

ROWS = {
    "random": recipes.random,
    "PointContrast": recipes.pointcontrast,
    "DepthContrast": recipes.depthcontrast,
    "PPKT": recipes.ppkt,
    "SLidR": recipes.slidr,
    "ST-SLidR": recipes.st_slidr,
    "Seal": recipes.seal,
    "ScaLR": recipes.scalr,
    "OLIVINE v1": recipes.olivine_v1,
    "OLIVINE": recipes.olivine,
    "OLIVINE next": recipes.olivine_next,
}
TEN_PERCENT = {"protocol": "finetune", "train.scene_step": 10, "optimiser.lr": 0.02, "head_lr": 2.0}


def rows(
    scale: Callable[[EvaluateConfig], EvaluateConfig], share: str, finetune: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return every method under both protocols; rows of one method share its pretraining."""
    pretrained = {
        label: {"pretrained": scale(recipe()).pretrained.to_dict()}
        for label, recipe in ROWS.items()
    }
    tuned = {f"{label}, {share}": {**row, **finetune} for label, row in pretrained.items()}
    return {**pretrained, **tuned}


SWEEP = Sweep(
    name="methods",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    rows=rows(lambda experiment: experiment, "10 %", TEN_PERCENT),
    seeds=(0, 1, 2, 3, 4),
    seed_names=("seed", "pretrained.seed"),
)
