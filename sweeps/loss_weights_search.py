"""Which weights of OLIVINE's three terms are best, if all three may move?

No table of the paper answers it. `loss_weights` moves one at a time and is the one to publish; this
searches for other starts, each weight between a tenth and ten times the released code's. Points are
stopped early by the probe within the pretraining, first after epoch 8, because the vMF term begins
in epoch 6 and its weight has no effect before.

Cost: 24 points, one seed. In full each is a pretraining, 36.5 hours on four RTX 3090 at the paper's
size, and a linear probe; of those that reach epoch 8 about a third go on. Weights hardly change the
cost of a point, so the second goal matters little here; it would with `pretrained.num_epochs` in
the space.

Expected: nothing is in print. The score of the best of 24 points with one seed is biased upwards:
compare it with the recipe over several seeds.
"""

from olivine.experiments.search_space import Real, Search
from olivine.experiments.sweep import Sweep

SWEEP = Sweep(
    name="loss_weights_search",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    search=Search(
        space={
            f"pretrained.method.terms.{term}.weight": Real(low=low, high=high, log=True)
            for term, low, high in (
                ("pixel", 0.05, 5.0),
                ("class", 0.05, 5.0),
                ("compact", 0.1, 10.0),
            )
        },
        num_points=24,
        goals={"miou": "max", "hours": "min"},
        stop_on="probe_miou",
        min_epochs=8,
    ),
    seeds=(0,),
    seed_names=("seed", "pretrained.seed"),
)
