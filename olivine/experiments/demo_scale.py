"""Any experiment, small enough for a machine without a GPU."""

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.geometry.voxels import Voxelizer
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.regions import Regions
from olivine.labels.labellers.sam_segments import SamSegments
from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.losses.vmf import VMF
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.training.config import EvaluateConfig
from olivine.training.optimisers.sgd import Sgd

DEMO_BACKBONE = MinkUNet(stem_channels=16, planes=(16, 32, 32, 32), blocks=(1, 1, 1, 1))


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
            warmup_steps = round(term.loss.warmup_steps * 25 / 10_001)
            settings |= {
                f"{place}.loss.momentum": 0.96,
                f"{place}.loss.warmup_steps": warmup_steps,
            }
        if isinstance(term.loss, QueueNCE):  # fewer than the frames: no scan's own earlier key
            settings[f"{place}.loss.size"] = 32
    if experiment.pretrained.labels is not None:
        settings["pretrained.labels"] = Embedded()
    if experiment.pretrained.teacher is not None:
        settings["pretrained.teacher"] = FilterBankTeacher()
    if isinstance(experiment.pretrained.segments, SamSegments):
        settings["pretrained.segments"] = Regions(of=Embedded())
    return experiment.override(settings)
