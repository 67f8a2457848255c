"""What does OLIVINE lose if one of its choices is made otherwise?

Paper's table 6 (Zhang et al., NeurIPS 2024), parts a to d: supervision by the truth, heads shared
by all terms, deterministic prototypes instead of vMF, and draws by density, by category or
neither. In print, for 1 % of nuScenes' and of SemanticKITTI's labels: heads of their own +3.53
and +1.89, vMF +1.97 and +1.37. Of the truth only "significant improvement" is in print, of draws
only their order: both factors best, either below, none worst. What its deterministic prototypes
are is not in print; ours pull by one and the same number, kappa 1.

The recipe is fine-tuned with 1 % of nuScenes' labels; `design_choices_semantickitti` is the other
column, and `--recipe olivine --as NAME` or `demo` asks by linear probe. "truth" wants labels by
`olivine label olivine --set pretrained.labels.kind=lidarseg_truth`.

Cost: 7 rows x 3 seeds, each one pretraining and one fine-tuning. At the paper's size a pretraining
takes 36.5 hours on four RTX 3090; on the demo's synthetic data a trial takes about a minute on one
CPU.

Expected: truth above OLIVINE, all others below, by the gains in print.
"""

from typing import Any

from olivine.experiments.sweep import Sweep
from olivine.labels.labellers.lidarseg_truth import LidarsegTruth

TERMS = "pretrained.method.terms"
DENSITY, CATEGORY = (f"{TERMS}.class.sample.{f}_temperature" for f in ("density", "category"))

ROWS: dict[str, dict[str, Any]] = {
    "OLIVINE": {},
    "truth": {"pretrained.labels": LidarsegTruth()},
    "shared heads": {f"{TERMS}.class.head": "pixel", f"{TERMS}.compact.head": "pixel"},
    "deterministic": {f"{TERMS}.compact.loss.concentration": 1.0},
    "random draws": {DENSITY: 0.0, CATEGORY: 0.0},
    "draws by density": {CATEGORY: 0.0},
    "draws by category": {DENSITY: 0.0},
}

SWEEP = Sweep(
    name="design_choices",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine_1_percent",
    rows=ROWS,
    seed_names=("seed", "pretrained.seed"),
)
