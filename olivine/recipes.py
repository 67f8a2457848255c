"""Whole experiments as values: every method, at the paper's scale and at the demo's.

A recipe is a function of no arguments; its docstring gives the paper, the published score, the
hardware, the hours and the command. Recipes derive from recipes by changing what differs.
"""

from collections.abc import Callable

from olivine.augmentations.crop_images import CropImages
from olivine.augmentations.drop_cuboid import DropCuboid
from olivine.augmentations.rotate_flip import RotateFlip
from olivine.backbones.minkunet import MinkUNet
from olivine.config import EvaluateConfig, PretrainConfig
from olivine.datasets.nuscenes import Nuscenes
from olivine.errors import UserError, nearest
from olivine.geometry.voxels import Voxelizer
from olivine.labellers.embedded import Embedded
from olivine.labellers.grounded_sam import GroundedSam
from olivine.labellers.slic import Slic
from olivine.losses.info_nce import InfoNCE
from olivine.losses.queue_nce import QueueNCE
from olivine.losses.regression import Regression
from olivine.losses.semantic_tolerant import SemanticTolerant
from olivine.losses.sup_con import SupCon
from olivine.losses.vmf import VMF
from olivine.objective import Method, Term
from olivine.optim import Sgd
from olivine.poolings.segment import Segment
from olivine.samplers.density_category import DensityCategory
from olivine.samplers.uniform import Uniform
from olivine.teachers.filter_bank import FilterBankTeacher


def ppkt_method() -> Method:
    """Pixel against point (Liu et al. 2021), OLIVINE's baseline."""
    return Method(terms={"pixel": Term(loss=InfoNCE(), sample=Uniform())})


def olivine_method() -> Method:
    """Pixel, class and vMF terms on weak labels (Zhang and Hou 2024).

    The official code averages the first two terms and adds the third, hence the weights. The
    class and vMF terms share a head of their own, decoupled from the pixel term's.
    """
    pixel = Term(loss=InfoNCE(), sample=Uniform(), weight=0.5)
    weak = Term(loss=SupCon(), sample=DensityCategory(), head="class", weight=0.5)
    compact = Term(loss=VMF(), head="class", weight=1.0)
    return Method(terms={"pixel": pixel, "class": weak, "compact": compact})


def slidr_method() -> Method:
    """All pairs, averaged by superpixel (METHOD 7.1)."""
    return Method(terms={"segment": Term(loss=InfoNCE(), pool=Segment())})


def st_slidr_method() -> Method:
    """SLidR's groups under a loss that knows which superpixels look alike (METHOD 7.1)."""
    return Method(terms={"segment": Term(loss=SemanticTolerant(), pool=Segment())})


def pointcontrast_method() -> Method:
    """Point against point of two views (METHOD 7.1)."""
    loss = InfoNCE(temperature=0.4)
    return Method(terms={"point": Term(loss=loss, match="view", sample=Uniform())})


def depthcontrast_method() -> Method:
    """Scan against scan with a momentum student and a queue (METHOD 7.1)."""
    return Method(terms={"scan": Term(loss=QueueNCE(), match="scan")})


def scalr_method() -> Method:
    """Every point regresses to the teacher's own pixel: no negatives, no sampling (METHOD 7.1)."""
    return Method(terms={"pixel": Term(loss=Regression(), project_pixels=False)})


def olivine() -> EvaluateConfig:
    """OLIVINE on nuScenes, linear probe (NeurIPS 2024).

    Published: 50.09 mIoU with SEEM labels, 47.3 with Grounded-SAM labels; 36.5 hours on four
    RTX 3090. Labels are Grounded-SAM's with SAM-HQ (METHOD 2.1 A): `olivine weights fetch
    groundingdino_swint_ogc sam_hq_vit_h bert-base-uncased`. Ours differs: the teacher is the
    embedded one. Commands: `olivine label`, `olivine pretrain`, `olivine evaluate`, each with your
    `--set runtime.data_root=...`.
    """
    train = Nuscenes(version="v1.0-trainval", split="train")
    pretrained = PretrainConfig(
        data=train,
        method=olivine_method(),
        backbone=MinkUNet(),
        teacher=FilterBankTeacher(),
        labels=GroundedSam(segmenter="sam_hq_vit_h"),
        augmentations={
            "rotate_flip": RotateFlip(),
            "drop_cuboid": DropCuboid(),
            "crop_images": CropImages(),
        },
    )
    return EvaluateConfig(
        pretrained=pretrained,
        train=train,
        val=Nuscenes(version="v1.0-trainval", split="val"),
        augmentations={"rotate_flip": RotateFlip()},
    )


def ppkt() -> EvaluateConfig:
    """PPKT's loss with the same teacher and student (Liu et al. 2021); published 35.90 mIoU."""
    return olivine().override({"pretrained.method": ppkt_method(), "pretrained.labels": None})


def slidr() -> EvaluateConfig:
    """SLidR: superpixels instead of pixels (Sautier et al., CVPR 2022).

    Published: 38.80 mIoU by linear probe, 38.30 fine-tuned with 1 %. 150 SLIC superpixels of
    each image come from `olivine label slidr`; everything else is PPKT's recipe.
    """
    return ppkt().override({"pretrained.method": slidr_method(), "pretrained.segments": Slic()})


def st_slidr() -> EvaluateConfig:
    """ST-SLidR: SLidR that spares likely false negatives (Mahmoud et al., CVPR 2023).

    Published: 40.48 mIoU by linear probe, 40.75 fine-tuned with 1 %.
    """
    return slidr().override({"pretrained.method": st_slidr_method()})


def pointcontrast() -> EvaluateConfig:
    """PointContrast: a point against itself in a second view (Xie et al., ECCV 2020).

    Published: 21.90 mIoU by linear probe, 32.50 fine-tuned with 1 %. No teacher and no images:
    two augmentations of each scan, 4096 points, temperature 0.4.
    """
    return ppkt().override(
        {"pretrained.method": pointcontrast_method(), "pretrained.teacher": None}
    )


def depthcontrast() -> EvaluateConfig:
    """DepthContrast: a scan against its second view and earlier scans (Zhang et al., ICCV 2021).

    Published: 22.10 mIoU by linear probe, 31.70 fine-tuned with 1 %. Heads of three layers, a
    queue of 65,536 scans, momentum 0.999, temperature 0.1; voxels alone, where the authors'
    LiDAR model also has a branch on points.
    """
    return ppkt().override(
        {
            "pretrained.method": depthcontrast_method(),
            "pretrained.teacher": None,
            "pretrained.num_channels": 128,
            "pretrained.hidden_channels": [128, 128],
        }
    )


def scalr() -> EvaluateConfig:
    """ScaLR's loss with PPKT's student and teacher (Puy et al., CVPR 2024).

    Its own numbers (67.8 mIoU by linear probe) are of a WaffleIron student under a DINOv2
    teacher and do not compare. The student's head is linear.
    """
    return ppkt().override({"pretrained.method": scalr_method()})


def random() -> EvaluateConfig:
    """No pretraining; published 8.1 mIoU by linear probe, 30.30 fine-tuned with 1 %."""
    return ppkt().override({"pretrained.num_epochs": 0})


def demo() -> EvaluateConfig:
    """OLIVINE small enough for two cores: ten short scenes, a U-Net of three levels.

    What is scaled down: network, image and voxel sizes, pairs and epochs. The vMF bank's momentum
    keeps the official share of the old mean at the end of its warm-up, 0.9999^10000 = 0.368.
    Seconds per run on two cores: see the README. Command: `olivine demo`.
    """
    return at_demo_scale(olivine())


def demo_ppkt() -> EvaluateConfig:
    """PPKT at the demo's scale."""
    return at_demo_scale(ppkt())


def demo_random() -> EvaluateConfig:
    """No pretraining, at the demo's scale."""
    return at_demo_scale(random())


def at_demo_scale(experiment: EvaluateConfig) -> EvaluateConfig:
    """Return the experiment on ten small scenes, for a machine without a GPU."""
    train = Nuscenes(version="v1.0-mini", split="mini_train")
    crop = CropImages(rows_px=112, columns_px=208, min_area=0.5, min_pairs=32)
    settings = {
        "train": train,
        "val": Nuscenes(version="v1.0-mini", split="mini_val"),
        "num_epochs": 10,
        "batch_frames": 4,
        "optimiser": Sgd(lr=0.5),
        "pretrained.data": train,
        "pretrained.backbone": DEMO_BACKBONE,
        "pretrained.voxels": Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3)),
        "pretrained.num_channels": 32,
        "pretrained.num_epochs": 6 if experiment.pretrained.num_epochs else 0,
        "pretrained.batch_frames": 4,
        "pretrained.contrast_frames": 2,
        "pretrained.augmentations.crop_images": crop,
        "pretrained.augmentations.drop_cuboid.min_pairs": 16,
        "pretrained.optimiser": Sgd(lr=0.3),
    }
    for name, term in experiment.pretrained.method.terms.items():
        place = f"pretrained.method.terms.{name}"
        if term.sample is not None:
            settings[f"{place}.sample.num_pairs"] = 1024
        if isinstance(term.loss, VMF):
            settings |= {f"{place}.loss.momentum": 0.96, f"{place}.loss.warmup_steps": 25}
        if isinstance(term.loss, QueueNCE):  # fewer than the frames: no scan's own earlier key
            settings[f"{place}.loss.size"] = 32
    if experiment.pretrained.labels is not None:
        settings["pretrained.labels"] = Embedded()
    return experiment.override(settings)


DEMO_BACKBONE = MinkUNet(stem_channels=16, planes=(16, 32, 32, 32), blocks=(1, 1, 1, 1))

RECIPES: dict[str, Callable[[], EvaluateConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        *(
            olivine,
            ppkt,
            slidr,
            st_slidr,
            pointcontrast,
            depthcontrast,
            scalr,
            random,
        ),
        *(demo, demo_ppkt, demo_random),
    )
}


def recipe(name: str) -> EvaluateConfig:
    """Return the recipe of that name; raise UserError with the nearest one otherwise."""
    if name not in RECIPES:
        raise UserError(
            f"No recipe {name!r}; there are {', '.join(RECIPES)}.{nearest(name, RECIPES)}"
        )
    return RECIPES[name]()
