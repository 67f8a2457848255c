"""The same question as `loss_weights_search`, small enough for two cores: which weights are best?

No table of the paper asks it. A pretraining of the demo has 6 epochs and its vMF term joins in the
third, so that is where points are first given up.

Cost: 24 points, one seed, up to a minute each on one CPU.

Expected: nothing is in print; on data so small the seed may move the score more than the weights.
"""

from .loss_weights_search import SWEEP as FULL

assert FULL.search is not None
SWEEP = FULL.model_copy(
    update={
        "name": "demo_loss_weights_search",
        "question": __doc__ or "",
        "recipe": "demo",
        "search": FULL.search.model_copy(update={"min_epochs": 3}),
    }
)
