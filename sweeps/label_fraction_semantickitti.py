"""Does a pretraining on nuScenes help on another sensor, with few labels or with many?

Paper's table 1, last column, and table 2 (Zhang et al., NeurIPS 2024): networks pretrained on
nuScenes, fine-tuned with 1 % of SemanticKITTI's labels; random, SLidR and OLIVINE also with 5, 10,
20 and 100 %. Published with 1 %: random 39.50, PointContrast 41.10, DepthContrast 41.50, PPKT
44.00, SLidR 44.60, ST-SLidR 44.72, Seal 46.63, OLIVINE 47.3 with Grounded-SAM labels (its first
preprint) and 49.38 with SEEM's; we know of no source for the other shares' numbers.

It reads both data sets: `--set runtime.data_root=...` is nuScenes, `--set train.root=... --set
val.root=...` SemanticKITTI.

Cost: 23 rows x 3 seeds of fine-tuning. Pretrainings are those of `methods`: 10 x 3 of them, 36.5
hours each on four RTX 3090 at the paper's size, unless they are in the store.

Expected: the paper's order with 1 %; the gain of pretraining shrinks with more labels.
"""

from olivine.experiments.sweep import Sweep

from .methods import ROWS

LONG = {"num_epochs": 50}  # more labels are seen for fewer epochs
SHARES = {  # SLidR's: one scan in so many
    "1 %": {"train.frame_step": 100},
    "5 %": {"train.frame_step": 20, **LONG},
    "10 %": {"train.frame_step": 10, **LONG},
    "20 %": {"train.frame_step": 5, **LONG},
    "100 %": {"train.frame_step": 1, **LONG},
}
WITH_MORE_LABELS = ("random", "SLidR", "OLIVINE")

SWEEP = Sweep(
    name="label_fraction_semantickitti",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine_semantic_kitti",
    rows={
        f"{label}, {share}": {"pretrained": recipe().pretrained.to_dict(), **settings}
        for share, settings in SHARES.items()
        for label, recipe in ROWS.items()
        if share == "1 %" or label in WITH_MORE_LABELS
    },
    seed_names=("seed", "pretrained.seed"),
    published="semantic_kitti",
)
