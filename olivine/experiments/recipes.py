"""Whole experiments as values: every method, at the paper's scale and at the demo's.

A recipe is a function of no arguments; its docstring gives the paper, the score to expect, what
it takes (hardware, hours) and the command. Recipes derive from recipes by changing what differs.
"""

from collections.abc import Callable

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.clusterings.hdbscan import Hdbscan
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.plugin_recipes import plugin_recipe
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.imported import Imported
from olivine.labels.labellers.sam_segments import SamSegments
from olivine.labels.labellers.slic import Slic
from olivine.methods.catalogue import (
    depthcontrast_method,
    olivine_method,
    olivine_next_method,
    olivine_v1_method,
    pointcontrast_method,
    ppkt_method,
    scalr_method,
    seal_method,
    slidr_method,
    st_slidr_method,
)
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.teachers.resnet50 import ResNet50Teacher
from olivine.models.teachers.vit import VisionTransformerTeacher
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.optimisers.sgd import Sgd


def olivine() -> EvaluateConfig:
    """OLIVINE on nuScenes, with the final code's weights (Zhang and Hou, NeurIPS 2024).

    Labels are Grounded-SAM's with SAM-HQ (method.md §2.1 A): `olivine weights fetch
    groundingdino_swint_ogc sam_hq_vit_h bert-base-uncased`. The teacher's weights are MoCo-v2's:
    `--set pretrained.teacher.weights=PATH`. Ours differs: pixels without a label take part in no
    class term.

    Expected: 50.09 mIoU by linear probe with SEEM labels, 47.3 with Grounded-SAM labels, 50.58 and
    46.1 fine-tuned with 1 % (published).
    Takes: 36.5 hours and 8.1 GB each on four RTX 3090 (published).
    Commands: `olivine label olivine`, `olivine pretrain olivine`, `olivine evaluate olivine`, each
    with your `--set runtime.data_root=...`.
    """
    train = Nuscenes(version="v1.0-trainval", split="train")
    pretrained = PretrainConfig(
        data=train,
        method=olivine_method(),
        backbone=MinkUNet(),
        teacher=ResNet50Teacher(),
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
        backbone={"bn_momentum": 0.02},  # as every published fine-tuning of this network
    )


def olivine_v1() -> EvaluateConfig:
    """OLIVINE as in the first preprint, arXiv 2405.14271v1: 14 classes, a bank that never freezes.

    Masks are painted as they are drawn, without non-maximum suppression, as its labels were.

    Expected: 47.3 mIoU by linear probe, 46.1 fine-tuned with 1 % (published).
    Takes: as `olivine`; no figure of its own is in print.
    Commands: `olivine label olivine_v1`, `olivine pretrain olivine_v1`,
    `olivine evaluate olivine_v1`, each with your `--set runtime.data_root=...`.
    """
    labels = GroundedSam(segmenter="sam_hq_vit_h", nms_iou=1.0, overlap="drawn")
    return olivine().with_pretraining(method=olivine_v1_method(), labels=labels)


def olivine_seem() -> EvaluateConfig:
    """OLIVINE as published: the authors' SEEM labels with 17 classes (NeurIPS 2024).

    The labels are generation B of method.md §2.1; their files are the authors' release below
    `camseg/` of the data root. Their 0 is both barrier and nothing, and counts as barrier, as in
    the official code.

    Expected: 50.09 mIoU by linear probe, 50.58 fine-tuned with 1 %, 65.01 with 10 % (published).
    Takes: 36.5 hours and 8.1 GB each on four RTX 3090 (published).
    Commands: `olivine label olivine_seem`, `olivine pretrain olivine_seem`,
    `olivine evaluate olivine_seem`, each with your `--set runtime.data_root=...`.
    """
    labels = Imported(source="OLIVINE release", generation="B", zero="barrier")
    method = olivine_method(ignored_as_class=True)
    return olivine().with_pretraining(method=method, labels=labels)


def olivine_next() -> EvaluateConfig:
    """OLIVINE with the posterior of a bias-corrected vMF bank; a recipe of our own.

    Everything but the method is `olivine`'s, so that a comparison is of the methods alone.

    Expected: on the synthetic world a better mean than `olivine` by linear probe, in four of five
    seeds, which does not decide it (docs/results.md); never run on nuScenes.
    Takes: as `olivine`; the term's cost is a product of all pairs with the classes' means.
    Commands: `olivine label olivine_next`, `olivine pretrain olivine_next`,
    `olivine evaluate olivine_next`, each with your `--set runtime.data_root=...`.
    """
    return olivine().with_pretraining(method=olivine_next_method())


def ppkt() -> EvaluateConfig:
    """PPKT's loss on the same student (Liu et al. 2021).

    This is OLIVINE's baseline, on OLIVINE's teacher. The published row has one of stride 32:
    `--set pretrained.teacher.dilated=false`.

    Expected: 35.90 mIoU by linear probe, 37.80 fine-tuned with 1 % (published).
    Takes: as `olivine` by the paper's text ("similar"); no figure of its own is in print.
    Command: `olivine pretrain ppkt`, then `olivine evaluate ppkt`, with your
    `--set runtime.data_root=...`; it needs no labels.
    """
    return olivine().with_pretraining(method=ppkt_method(), labels=None)


def slidr() -> EvaluateConfig:
    """SLidR: superpixels instead of pixels (Sautier et al., CVPR 2022).

    150 SLIC superpixels of each image come from `olivine label slidr`; everything else is PPKT's
    recipe.

    Expected: 38.80 mIoU by linear probe, 38.30 fine-tuned with 1 % (published).
    Takes: as `olivine` by the paper's text ("similar"); users report 2.25 hours an epoch on one
    V100 (method.md §9).
    Commands: `olivine label slidr`, `olivine pretrain slidr`, `olivine evaluate slidr`, each with
    your `--set runtime.data_root=...`.
    """
    return ppkt().with_pretraining(method=slidr_method(), segments=Slic())


def st_slidr() -> EvaluateConfig:
    """ST-SLidR: SLidR that spares likely false negatives (Mahmoud et al., CVPR 2023).

    Expected: 40.48 mIoU by linear probe, 40.75 fine-tuned with 1 % (published).
    Takes: as `slidr`; published on two GPUs.
    Commands: `olivine label st_slidr` (the superpixels are SLidR's), `olivine pretrain st_slidr`,
    `olivine evaluate st_slidr`, each with your `--set runtime.data_root=...`.
    """
    return slidr().with_pretraining(method=st_slidr_method())


def seal() -> EvaluateConfig:
    """Seal: a foundation model's segments, and superpoints over time (Liu et al., NeurIPS 2023).

    Its training code was never released: `seal_method` names the parts that are our own. Segments
    are SAM's automatic masks, from `olivine weights fetch sam_vit_h`; the published row has SEEM's,
    which `--set pretrained.segments.kind=imported_segments` reads. Superpoints are made when a
    frame is first read, about a second each, and kept.

    Expected: 44.95 mIoU by linear probe, 45.84 fine-tuned with 1 % (published); users of SLidR's
    code with SAM's or SEEM's segments found 41.3 and 41.0 with 1 % (method.md §7.1).
    Takes: no figure is in print; a step has a second scan, so more than `slidr`.
    Commands: `olivine label seal`, `olivine pretrain seal`, `olivine evaluate seal`, each with
    your `--set runtime.data_root=...`.
    """
    return slidr().with_pretraining(
        method=seal_method(), segments=SamSegments(), clusters=Hdbscan()
    )


def pointcontrast() -> EvaluateConfig:
    """PointContrast: a point against itself in a second view (Xie et al., ECCV 2020).

    No teacher and no images: two augmentations of each scan, 4096 points, temperature 0.4.

    Expected: 21.90 mIoU by linear probe, 32.50 fine-tuned with 1 % (published).
    Takes: no figure is in print; less than `ppkt`, which also reads images.
    Command: `olivine pretrain pointcontrast`, then `olivine evaluate pointcontrast`, with your
    `--set runtime.data_root=...`; it needs no labels.
    """
    return ppkt().with_pretraining(method=pointcontrast_method(), teacher=None)


def depthcontrast() -> EvaluateConfig:
    """DepthContrast: a scan against its second view and earlier scans (Zhang et al., ICCV 2021).

    Heads of three layers, a queue of 65,536 scans, momentum 0.999, temperature 0.1; voxels alone,
    where the authors' LiDAR model also has a branch on points.

    Expected: 22.10 mIoU by linear probe, 31.70 fine-tuned with 1 % (published).
    Takes: no figure is in print; its authors train 1000 epochs, 32 scans per GPU.
    Command: `olivine pretrain depthcontrast`, then `olivine evaluate depthcontrast`, with your
    `--set runtime.data_root=...`; it needs no labels.
    """
    return ppkt().with_pretraining(
        method=depthcontrast_method(),
        teacher=None,
        num_channels=128,
        hidden_channels=(128, 128),
    )


def scalr() -> EvaluateConfig:
    """ScaLR's loss and teacher, DINOv2 ViT-L/14, on PPKT's student (Puy et al., CVPR 2024).

    The student's head is linear; images are whole, 224 x 448. All six cameras of a frame teach,
    where the paper draws one.

    Expected: no number in print has this student under SLidR's protocol. 67.8 mIoU by linear probe
    is of a WaffleIron under DINOv2 ViT-L and four data sets; 51.77 of MinkUNet-34 under ViT-L and
    SuperFlow's protocol (published).
    Takes: less than `ppkt`: no pixel head, no matrix of pairs; 25 epochs in the paper.
    Command: `olivine pretrain scalr`, then `olivine evaluate scalr`, with your
    `--set runtime.data_root=...`; it needs no labels.
    """
    whole = CropImages(rows_px=224, columns_px=448, min_area=1.0, flip_chance=0.0)
    base = ppkt()
    return base.with_pretraining(
        method=scalr_method(),
        teacher=VisionTransformerTeacher(),
        augmentations={**base.pretrained.augmentations, "crop_images": whole},
    )


def random() -> EvaluateConfig:
    """No pretraining: the floor of every table.

    Expected: 8.1 mIoU by linear probe, 30.30 fine-tuned with 1 % (published).
    Takes: the evaluation alone.
    Command: `olivine evaluate random`, with your `--set runtime.data_root=...`.
    """
    return ppkt().with_pretraining(num_epochs=0)


def olivine_1_percent() -> EvaluateConfig:
    """OLIVINE fine-tuned with 1 % of nuScenes' labels (NeurIPS 2024, tables 1 and 6).

    Its pretraining is `olivine`'s and is not repeated. More labels: `--set num_epochs=50
    --set train.scene_step=20` (5 %), 10 (10 %), 4 (25 %) or 1 (100 %).

    Expected: 50.58 mIoU with SEEM labels, 46.1 with Grounded-SAM labels (published).
    Takes: no figure is in print; 1,700 steps of sixteen scans, then 6,019 scans are scored.
    Commands: `olivine label olivine_1_percent`, `olivine pretrain olivine_1_percent`,
    `olivine evaluate olivine_1_percent`, each with your `--set runtime.data_root=...`.
    """
    return olivine().with_evaluation(
        protocol="finetune",
        train=Nuscenes(version="v1.0-trainval", split="train", scene_step=100),
        optimiser=Sgd(lr=0.02),
        head_lr=2.0,
        num_epochs=100,
    )


def olivine_semantic_kitti() -> EvaluateConfig:
    """OLIVINE pretrained on nuScenes, fine-tuned with 1 % of SemanticKITTI (NeurIPS 2024, table 1).

    Its pretraining is `olivine`'s and is not repeated. More labels, as in table 2: `--set
    num_epochs=50 --set train.frame_step=20` (5 %), 10 (10 %), 5 (20 %) or 1 (100 %).

    Expected: 49.38 mIoU with SEEM labels, 47.3 with Grounded-SAM labels (published).
    Takes: no figure is in print; 1,900 steps of ten scans of 120,000 points, then 4,071 scans are
    scored.
    Commands: `olivine label olivine_semantic_kitti`, `olivine pretrain olivine_semantic_kitti`,
    `olivine evaluate olivine_semantic_kitti`, each with your `--set runtime.data_root=...` for
    nuScenes and `--set train.root=... --set val.root=...` for SemanticKITTI.
    """
    return on_semantic_kitti(olivine())


def slidr_semantic_kitti() -> EvaluateConfig:
    """SLidR pretrained on nuScenes, fine-tuned with 1 % of SemanticKITTI (CVPR 2022).

    Expected: 44.60 mIoU (published).
    Takes: as `olivine_semantic_kitti`, after `slidr`'s pretraining.
    Commands: `olivine label slidr_semantic_kitti`, `olivine pretrain slidr_semantic_kitti`,
    `olivine evaluate slidr_semantic_kitti`, with the roots of `olivine_semantic_kitti`.
    """
    return on_semantic_kitti(slidr())


def random_semantic_kitti() -> EvaluateConfig:
    """No pretraining, trained with 1 % of SemanticKITTI.

    It needs no nuScenes. Which learning rates the published row had is not in print; on nuScenes
    SLidR's author took 0.05 for head and backbone (method.md §5): `--set head_lr=0.05`.

    Expected: 39.50 mIoU (published).
    Takes: as `olivine_semantic_kitti`, and no pretraining.
    Command: `olivine evaluate random_semantic_kitti`, with SemanticKITTI's
    `--set runtime.data_root=...`.
    """
    return on_semantic_kitti(random()).with_pretraining(data=SemanticKitti())


def on_semantic_kitti(experiment: EvaluateConfig) -> EvaluateConfig:
    """Return the experiment fine-tuned with 1 % of SemanticKITTI (method.md §5 and §8.3)."""
    return experiment.with_evaluation(
        protocol="finetune",
        train=SemanticKitti(split="train", frame_step=100),
        val=SemanticKitti(split="val"),
        optimiser=experiment.optimiser.replace(lr=0.05),
        head_lr=2.0,
        batch_frames=10,
        num_epochs=100,
    )


def demo() -> EvaluateConfig:
    """OLIVINE small enough for two cores: ten short scenes, a U-Net of three levels.

    What is scaled down: network, image and voxel sizes, pairs and epochs. The vMF bank's momentum
    keeps the official share of the old mean at the end of its warm-up, 0.9999^10000 = 0.368.

    Expected: the README's first table.
    Takes: about half a minute on one CPU.
    Command: `olivine demo`.
    """
    return at_demo_scale(olivine())


def demo_ppkt() -> EvaluateConfig:
    """PPKT at the demo's scale.

    Expected: the README's first table.
    Takes: about half a minute on one CPU.
    Command: `olivine demo`, of whose sweep it is a row.
    """
    return at_demo_scale(ppkt())


def demo_random() -> EvaluateConfig:
    """No pretraining, at the demo's scale.

    Expected: the README's first table.
    Takes: some seconds on one CPU.
    Command: `olivine demo`, of whose sweep it is a row.
    """
    return at_demo_scale(random())


RECIPES: dict[str, Callable[[], EvaluateConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        *(
            olivine,
            olivine_v1,
            olivine_seem,
            olivine_next,
            ppkt,
            slidr,
            st_slidr,
            seal,
            pointcontrast,
            depthcontrast,
            scalr,
            random,
        ),
        olivine_1_percent,
        *(olivine_semantic_kitti, slidr_semantic_kitti, random_semantic_kitti),
        *(demo, demo_ppkt, demo_random),
    )
}


def recipe(name: str) -> EvaluateConfig:
    """Return a recipe by its name, or by its location: ./my_recipe.py:name or package.module:name.

    Raises UserError for an unknown recipe, with the nearest name, and for one that cannot be
    imported, fails or returns something else.
    """
    return RECIPES[name]() if name in RECIPES else plugin_recipe(name, RECIPES)
