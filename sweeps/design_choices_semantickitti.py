"""What does OLIVINE lose on another sensor if one of its choices is made otherwise?

Paper's table 6 (Zhang et al., NeurIPS 2024), parts a to d, its column fine-tuned with 1 % of
SemanticKITTI's labels; rows and pretrainings are those of `design_choices`. In print: heads of
their own +1.89, vMF instead of deterministic prototypes +1.37.

It reads both data sets: `--set runtime.data_root=...` is nuScenes, `--set train.root=... --set
val.root=...` SemanticKITTI. "truth" wants labels as in `design_choices`.

Cost: 7 rows x 3 seeds of fine-tuning, 1,900 steps of ten large scans each; the pretrainings are
those of `design_choices`, 36.5 hours each on four RTX 3090 at the paper's size, unless they are in
the store.

Expected: truth above OLIVINE, all others below, by the gains in print.
"""

from olivine.experiments.sweep import Sweep

from .design_choices import ROWS

SWEEP = Sweep(
    name="design_choices_semantickitti",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine_semantic_kitti",
    rows=ROWS,
    seed_names=("seed", "pretrained.seed"),
    published="design_choices",
)
