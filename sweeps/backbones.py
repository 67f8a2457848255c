"""Does the pretraining help another 3D network as it helps MinkUNet?

Paper's table 7 (Zhang et al., NeurIPS 2024): WaffleIron from a random start and pretrained by
OLIVINE, fine-tuned with 1, 10 and 100 % of nuScenes' labels. We know of no source for its numbers;
the text says that the gain vanishes with many labels. OLIVINE's settings of WaffleIron were never
released: here it is the network its authors released for nuScenes, WI-48-384, under the rates of
ScaLR (method.md §5) without its decay by layers, with a warm-up of our own when fine-tuned. Trained
from scratch on all labels by its authors it has 77.6 mIoU.

MinkUNet's rows are those of `label_fraction`. VoxelNet is a detector's network: a point reads its
class from a map seen from above, in cells of 0.8 m, so only its gain over its own random row means
something; its rate when pretrained is the released code's, 0.01, its fine-tuning MinkUNet's.

Cost: 14 rows x 3 seeds of fine-tuning, with 3 x 3 pretrainings of which MinkUNet's take 36.5 hours
each on four RTX 3090 at the paper's size; of the other two networks no figure is in print.

Expected: WaffleIron gains most with 1 %, hardly with 100 %, as MinkUNet does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from olivine.data.geometry.voxels import Voxelizer
from olivine.experiments import recipes
from olivine.experiments.sweep import Sweep
from olivine.models.backbones.base import Backbone
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.training.config import EvaluateConfig
from olivine.training.optimisers.adamw import AdamW
from olivine.training.optimisers.base import Optimiser
from olivine.training.optimisers.sgd import Sgd

from .label_fraction import MORE, ONE_PERCENT


@dataclass(frozen=True)
class Network:
    """A 3D network, how it is pretrained, and how it is fine-tuned with each share of labels."""

    backbone: Backbone
    voxels: Voxelizer
    optimiser: Optimiser
    shares: Mapping[str, dict[str, Any]]


def rows(
    scale: Callable[[EvaluateConfig], EvaluateConfig], networks: Mapping[str, Network]
) -> dict[str, dict[str, Any]]:
    """Return every network with every share, from a random start and pretrained by OLIVINE."""
    found = {}
    for name, network in networks.items():
        for share, settings in network.shares.items():
            for label, recipe in (("random", recipes.random), ("OLIVINE", recipes.olivine)):
                experiment = scale(recipe()).with_pretraining(
                    backbone=network.backbone, voxels=network.voxels, optimiser=network.optimiser
                )
                found[f"{name} {label}, {share}"] = {
                    "pretrained": experiment.pretrained,
                    **settings,
                }
    return found


def waffleiron_share(scene_step: int, num_epochs: int, warmup_steps: int) -> dict[str, Any]:
    """Return how WaffleIron is fine-tuned with one scene in so many; all at one rate."""
    return {
        "protocol": "finetune",
        "train.scene_step": scene_step,
        "num_epochs": num_epochs,
        "optimiser": AdamW(weight_decay=0.0, warmup_steps=warmup_steps),
        "head_lr": None,
    }


WAFFLEIRON, VOXELNET = WaffleIron(), VoxelNet()
SHARES = {share: {**ONE_PERCENT, **MORE}[share] for share in ("1 %", "10 %", "100 %")}
NETWORKS = {
    "WaffleIron": Network(
        WAFFLEIRON,
        Voxelizer(coordinates="cartesian", range_m=WAFFLEIRON.range_m),
        AdamW(),
        {
            "1 %": waffleiron_share(100, num_epochs=45, warmup_steps=75),
            "10 %": waffleiron_share(10, num_epochs=45, warmup_steps=750),
            "100 %": waffleiron_share(1, num_epochs=25, warmup_steps=3500),
        },
    ),
    "MinkUNet": Network(MinkUNet(), Voxelizer(), Sgd(), SHARES),
    "VoxelNet": Network(
        VOXELNET,
        Voxelizer(coordinates="cartesian", size=VOXELNET.size_m, range_m=VOXELNET.range_m),
        Sgd(lr=0.01),
        ONE_PERCENT,
    ),
}

SWEEP = Sweep(
    name="backbones",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    rows=rows(lambda experiment: experiment, NETWORKS),
    seed_names=("seed", "pretrained.seed"),
)
