"""The demo's scale: any experiment, small enough for a machine without a GPU."""

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.geometry.voxels import Voxelizer
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.regions import Regions
from olivine.labels.labellers.sam_segments import SamSegments
from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.losses.vmf import VMF
from olivine.methods.method import Method, Term
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.training.config import EvaluateConfig
from olivine.training.optimisers.sgd import Sgd

DEMO_BACKBONE = MinkUNet(stem_channels=16, planes=(16, 32, 32, 32), blocks=(1, 1, 1, 1))


def at_demo_scale(experiment: EvaluateConfig) -> EvaluateConfig:
    """Return the experiment on ten small scenes, for a machine without a GPU."""
    train = Nuscenes(version="v1.0-mini", split="mini_train")
    small = experiment.with_evaluation(
        train=train,
        val=Nuscenes(version="v1.0-mini", split="mini_val"),
        num_epochs=10,
        batch_frames=4,
        optimiser=Sgd(lr=0.5),
    )
    pretrained = experiment.pretrained
    crop = CropImages(rows_px=112, columns_px=208, min_area=0.5, min_pairs=32)
    augmentations = {**pretrained.augmentations, "crop_images": crop}
    if isinstance(drop := augmentations.get("drop_cuboid"), DropCuboid):
        augmentations["drop_cuboid"] = drop.replace(min_pairs=16)
    segments = pretrained.segments
    if isinstance(segments, SamSegments):
        segments = Regions(of=Embedded())
    return small.with_pretraining(
        data=train,
        method=_small_method(pretrained.method),
        backbone=DEMO_BACKBONE,
        teacher=FilterBankTeacher() if pretrained.teacher is not None else None,
        labels=Embedded() if pretrained.labels is not None else None,
        segments=segments,
        voxels=Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3)),
        augmentations=augmentations,
        num_channels=32,
        num_epochs=6 if pretrained.num_epochs else 0,
        batch_frames=4,
        contrast_frames=2,
        optimiser=Sgd(lr=0.3),
    )


def _small_method(method: Method) -> Method:
    return method.replace(terms={name: _small_term(term) for name, term in method.terms.items()})


def _small_term(term: Term) -> Term:
    sample, loss = term.sample, term.loss
    if sample is not None:
        sample = sample.replace(num_pairs=1024)
    if isinstance(loss, VMF):
        loss = loss.replace(momentum=0.96, warmup_steps=round(loss.warmup_steps * 25 / 10_001))
    elif isinstance(loss, QueueNCE):  # fewer keys than frames: no scan's own earlier key
        loss = loss.replace(size=32)
    return term.replace(sample=sample, loss=loss)
