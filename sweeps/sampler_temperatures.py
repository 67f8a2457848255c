"""How far should far points and rare classes be favoured when the class term draws its pairs?

Paper's table 6d (Zhang et al., NeurIPS 2024): density alone and category alone are each below their
product, and a random draw is worst; we know of no source for the numbers. The paper has no
temperatures: 0 leaves a factor out, 1 is the paper's, 0.5 is between. Where the category factor is
out, pairs without a label are drawn too and then count in no class.

Cost: 9 rows x 3 seeds, each one pretraining and one linear probe. At the paper's size a
pretraining takes 36.5 hours on four RTX 3090; on the demo's synthetic data a trial takes about a
minute on one CPU. As a square: `olivine table sampler_temperatures --by
pretrained.method.terms.class.sample.density_temperature --columns
pretrained.method.terms.class.sample.category_temperature`.

Expected: the paper's order at the corners, 0.5 beside 1. On small data, with few pairs, any draw
contains a rare class completely, so there is hardly a difference.
"""

from olivine.experiments.sweep import Sweep

SWEEP = Sweep(
    name="sampler_temperatures",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    grid={
        f"pretrained.method.terms.class.sample.{factor}_temperature": (0.0, 0.5, 1.0)
        for factor in ("density", "category")
    },
    seed_names=("seed", "pretrained.seed"),
)
