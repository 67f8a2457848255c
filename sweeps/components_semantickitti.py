"""Which of OLIVINE's components earns its place on another sensor, with 1 % of its labels?

Paper's table 5 (Zhang et al., NeurIPS 2024), its column fine-tuned on SemanticKITTI; rows and
pretrainings are those of `components`. We know of no source for the column's numbers but those of
table 1: random 39.50, PPKT 44.00, OLIVINE 47.3 with Grounded-SAM labels (its first preprint).

It reads both data sets: `--set runtime.data_root=...` is nuScenes, `--set train.root=... --set
val.root=...` SemanticKITTI.

Cost: 7 rows x 3 seeds of fine-tuning, 1,900 steps of ten large scans each; the pretrainings are
those of `components`, 36.5 hours each on four RTX 3090 at the paper's size, unless they are in the
store.

Expected: the order of the linear probe, with smaller gains than on nuScenes.
"""

from olivine.experiments.sweep import Sweep

from .components import ROWS

SWEEP = Sweep(
    name="components_semantickitti",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine_semantic_kitti",
    rows=ROWS,
    seed_names=("seed", "pretrained.seed"),
    published="components",
)
