"""The same question as `methods`, small enough for two cores: which pretraining helps most?

No table of the paper's, but a synthetic world and the demo's networks. Fine-tuning sees one of its
eight training scenes, 12.5 % of the labels; the learning rates were not searched for. SLidR and
ST-SLidR need superpixels: `olivine label demo --set pretrained.segments.kind=slic`. Seal's segments
are the regions of the embedded labels: `olivine label demo --set pretrained.segments.kind=regions
--set pretrained.segments.of.kind=embedded`.

Cost: 11 rows x 2 protocols x 5 seeds, about half a minute each on one CPU.

Expected: the table of docs/results.md, where five seeds do not tell all neighbours apart.
"""

from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.sweep import Sweep

from .methods import TEN_PERCENT, rows

ONE_SCENE = {**TEN_PERCENT, "train.scene_step": 8, "optimiser.lr": 0.05, "head_lr": 0.5}

SWEEP = Sweep(
    name="demo_methods",
    question=__doc__ or "",
    metric="miou",
    recipe="demo",
    rows=rows(at_demo_scale, "1 of 8 scenes", ONE_SCENE),
    seeds=(0, 1, 2, 3, 4),
    seed_names=("seed", "pretrained.seed"),
)
