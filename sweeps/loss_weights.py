"""How should OLIVINE's three terms be weighed against each other?

No table of the paper answers it: the weights are symbols there, without values. The released code
averages the two contrasts and adds the vMF term, 0.5, 0.5 and 1.0; the first preprint's had 0.1 for
the last, with a bank that never froze (method.md §4.4). Here one weight at a time is raised,
lowered and set to zero. A larger sum is also a longer step, since nothing is rescaled.

Cost: 11 rows x 3 seeds, each one pretraining and one linear probe. At the paper's size a
pretraining takes 36.5 hours on four RTX 3090; on the demo's synthetic data a trial takes about a
minute on one CPU.

Expected: a loss wherever a weight is 0, since in the paper's ablation every term gains; little
between half and double. How much is not in print.
"""

from olivine.experiments.sweep import Sweep

WEIGHTS = {  # beside the recipe's 0.5, 0.5 and 1
    "pixel": ("pixel", (0.0, 0.25, 1.0)),
    "class": ("class", (0.0, 0.25, 1.0)),
    "vMF": ("compact", (0.0, 0.1, 0.5, 2.0)),
}

SWEEP = Sweep(
    name="loss_weights",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    rows={
        "OLIVINE": {},
        **{
            f"{label} {weight:g}": {f"pretrained.method.terms.{term}.weight": weight}
            for label, (term, weights) in WEIGHTS.items()
            for weight in weights
        },
    },
    seed_names=("seed", "pretrained.seed"),
)
