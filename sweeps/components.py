"""Which of OLIVINE's components earns its place?

Paper's table 5 (Zhang et al., NeurIPS 2024), its linear probe on nuScenes; the columns fine-tuned
with 1 % are `components_1_percent` and `components_semantickitti`, which use the same pretrainings.
The paper's text gives gains over the baseline, pixel InfoNCE alone: class contrast +5.23, vMF
consistency +3.71, both +7.89, with density-and-category sampling (all of OLIVINE) +10.43 mIoU
points. Random initialisation is the floor. The baseline *is* PPKT's objective on OLIVINE's teacher,
and is called so. Sampling alone is the baseline's loss on pairs drawn by density and category.

Cost: 7 rows x 3 seeds, each one pretraining and one linear probe. At the paper's size 50 epochs
of pretraining take 36.5 hours on four RTX 3090 (6 of 7 rows pretrain); on the demo's synthetic
data a trial takes about a minute on one CPU.

Expected: every row above random by far; the order of the paper, PPKT < vMF < class < both
< OLIVINE. Sampling is the step most likely to shrink on small data, where few pairs are to be had
and a rare class is seen in full by any sampler.
"""

from typing import Any

from olivine.experiments.sweep import Sweep

PIXEL, CLASS, COMPACT = (
    f"pretrained.method.terms.{term}.weight" for term in ("pixel", "class", "compact")
)
CLASS_LOSS = "pretrained.method.terms.class.loss.kind"
BOTH_CONTRASTS = {PIXEL: 0.5, CLASS: 0.5}  # the official code averages the two
# Temperature 0 is a uniform choice. The sampler's kind stays as it is: another kind would start
# from its own defaults, and a row must differ from its neighbour in nothing else.
UNIFORM, WEIGHTED = (
    {
        f"pretrained.method.terms.class.sample.{factor}_temperature": temperature
        for factor in ("density", "category")
    }
    for temperature in (0.0, 1.0)
)

# The class term has that sampler: with InfoNCE in the place of its loss it is PPKT's term on other
# draws.
SAMPLING_ALONE = {PIXEL: 0.0, CLASS: 1.0, COMPACT: 0.0, CLASS_LOSS: "info_nce", **WEIGHTED}

ROWS: dict[str, dict[str, Any]] = {
    "random": {"pretrained.num_epochs": 0},
    "PPKT": {PIXEL: 1.0, CLASS: 0.0, COMPACT: 0.0},
    "+ class contrast": {**BOTH_CONTRASTS, COMPACT: 0.0, **UNIFORM},
    "+ vMF": {PIXEL: 1.0, CLASS: 0.0, COMPACT: 1.0},
    "+ sampling": SAMPLING_ALONE,
    "+ both": {**BOTH_CONTRASTS, COMPACT: 1.0, **UNIFORM},
    "OLIVINE": {**BOTH_CONTRASTS, COMPACT: 1.0, **WEIGHTED},
}

SWEEP = Sweep(
    name="components",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    rows=ROWS,
    seed_names=("seed", "pretrained.seed"),
)
