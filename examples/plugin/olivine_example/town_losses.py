"""Does it matter whether the denominator contains the own key, on a small town?

It compares InfoNCE with its decoupled form at one temperature.

Cost: 2 rows x 2 seeds.
Expected: little; a town of boxes is easy.
"""

from olivine.experiments.sweep import Sweep

LOSS = "pretrained.method.terms.pixel.loss"

SWEEP = Sweep(
    name="town_losses",
    question=__doc__,
    metric="miou",
    recipe="town_example",
    rows={
        "InfoNCE": {f"{LOSS}.kind": "info_nce", f"{LOSS}.temperature": 0.1},
        "decoupled": {f"{LOSS}.kind": "decoupled_nce", f"{LOSS}.temperature": 0.1},
    },
    seeds=(0, 1),
    seed_names=("seed", "pretrained.seed"),
)
