"""The same question as `backbones`, small enough for two cores: does another network gain as well?

No table of the paper's: WaffleIron is 4 layers of 32 channels here, VoxelNet has voxels of 0.4 m,
and networks are fine-tuned with one and with all of the demo's eight training scenes. Neither
their rates nor the demo's were searched for.

Cost: 12 rows x 3 seeds, about a minute each on one CPU.

Expected: a gain for each network with one scene, a smaller one with eight; VoxelNet far below the
others, as it sees from above.
"""

from olivine.data.geometry.voxels import Voxelizer
from olivine.experiments.demo_scale import DEMO_BACKBONE, at_demo_scale
from olivine.experiments.recipes import demo
from olivine.experiments.sweep import Sweep
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.training.optimisers.adamw import AdamW
from olivine.training.optimisers.sgd import Sgd

from .backbones import Network, rows, waffleiron_share
from .demo_methods import ONE_SCENE

WAFFLEIRON = WaffleIron(width=32, depth=4, grids=((50, 50), (50, 8), (50, 8)), drop_path=0.0)
VOXELNET = VoxelNet(size_m=(0.4, 0.4, 0.2))
SHARES = {"1 of 8 scenes": ONE_SCENE, "8 of 8 scenes": {**ONE_SCENE, "train.scene_step": 1}}
NETWORKS = {
    "WaffleIron": Network(
        WAFFLEIRON,
        Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3), range_m=WAFFLEIRON.range_m),
        AdamW(warmup_steps=10),
        {
            "1 of 8 scenes": waffleiron_share(8, num_epochs=10, warmup_steps=5),
            "8 of 8 scenes": waffleiron_share(1, num_epochs=10, warmup_steps=10),
        },
    ),
    "MinkUNet": Network(
        DEMO_BACKBONE, demo().pretrained.voxels, demo().pretrained.optimiser, SHARES
    ),
    "VoxelNet": Network(
        VOXELNET,
        Voxelizer(coordinates="cartesian", size=VOXELNET.size_m, range_m=VOXELNET.range_m),
        Sgd(lr=0.05),
        SHARES,
    ),
}

SWEEP = Sweep(
    name="demo_backbones",
    question=__doc__ or "",
    metric="miou",
    recipe="demo",
    rows=rows(at_demo_scale, NETWORKS),
    seed_names=("seed", "pretrained.seed"),
)
