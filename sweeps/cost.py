"""What does a pretraining cost, method by method?

Paper's table 9 (Zhang et al., NeurIPS 2024): its text says that OLIVINE's time and memory are like
PPKT's and SLidR's, whose numbers we know of no source for. A public summary of the paper gives
OLIVINE 36.5 hours on four RTX 3090, 146 of a card, and 8.1 GB on each.

Every row pretrains for 2 epochs of the paper's 50, so 25 times its hours is a whole pretraining;
OLIVINE's warm-up is shortened alike, so that its vMF term is on for the share of steps that it has
in full. `hours` are of devices, with a short evaluation that is the same in all rows, whose mIoU
means nothing. Labels and superpixels are made before and are not in it. For honest hours nothing
else may run beside a trial: `--set runtime.max_concurrent_trials=1`. The rest of the table:
`olivine table cost --metrics hours,pretrain/wall_s,pretrain/peak_gpu_memory_gb`.

Cost: 10 rows x 3 seeds of 2 epochs each; of OLIVINE 5.8 hours of an RTX 3090 each, by the figure
above.

Expected: OLIVINE, PPKT and SLidR within a few percent; PointContrast and DepthContrast less, as
they read no images; Seal more, with a second scan in every step.
"""

from collections.abc import Callable
from typing import Any

from olivine.experiments.sweep import Sweep
from olivine.methods.losses.vmf import VMF
from olivine.training.config import EvaluateConfig, PretrainConfig

from .methods import ROWS

NUM_EPOCHS = 2


def rows(
    scale: Callable[[EvaluateConfig], EvaluateConfig], evaluation: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return a short pretraining of every method, each under the same evaluation."""
    return {
        label: {"pretrained": shortened(scale(recipe()).pretrained), **evaluation}
        for label, recipe in ROWS.items()
        if label != "random"
    }


def shortened(config: PretrainConfig) -> PretrainConfig:
    """Return `NUM_EPOCHS` of a pretraining; a vMF bank warms up for its share of the steps."""
    terms = dict(config.method.terms)
    for name, term in terms.items():
        if isinstance(term.loss, VMF):
            steps = round(term.loss.warmup_steps * NUM_EPOCHS / config.num_epochs)
            terms[name] = term.replace(loss=term.loss.replace(warmup_steps=steps))
    return config.replace(num_epochs=NUM_EPOCHS, method=config.method.replace(terms=terms))


SWEEP = Sweep(
    name="cost",
    question=__doc__ or "",
    metric="hours",
    recipe="olivine",
    rows=rows(
        lambda experiment: experiment,
        {"num_epochs": 1, "train.scene_step": 100, "val.scene_step": 50},
    ),
    seed_names=("seed", "pretrained.seed"),
)
