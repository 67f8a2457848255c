"""Which of OLIVINE's components earns its place when 1 % of nuScenes' labels fine-tune the network?

Paper's table 5 (Zhang et al., NeurIPS 2024), its column fine-tuned on nuScenes; rows and
pretrainings are those of `components`. We know of no source for the column's numbers but those of
table 1: random 30.30, PPKT 37.80, OLIVINE 46.1 with Grounded-SAM labels (its first preprint).

Cost: 7 rows x 3 seeds of fine-tuning, 1,700 steps each; the pretrainings are those of `components`,
36.5 hours each on four RTX 3090 at the paper's size, unless they are in the store.

Expected: the order of the linear probe, with smaller gains.
"""

from olivine.experiments.sweep import Sweep

from .components import ROWS

SWEEP = Sweep(
    name="components_1_percent",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine_1_percent",
    rows=ROWS,
    seed_names=("seed", "pretrained.seed"),
    published="components",
)
