"""A whole experiment with the package's own parts."""

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.geometry.voxels import Voxelizer
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.method import Method, Term
from olivine.methods.samplers.uniform import Uniform
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.optimisers.sgd import Sgd

from olivine_example.backbones import Pillars
from olivine_example.labellers import Bands
from olivine_example.losses import DecoupledNCE
from olivine_example.town import Town

TRAIN, VAL = Town(scenes=("town0", "town1", "town2")), Town(scenes=("town3",))


def town_example() -> EvaluateConfig:
    """Pixels against points by the decoupled loss, and classes by bands of hue, on a small town.

    Takes: seconds on one CPU.
    Commands: `python -m olivine_example.make_town town`, then `olivine label town_example`,
    `olivine pretrain town_example` and `olivine evaluate town_example`, each with
    `--set runtime.data_root=town`.
    """
    sample = Uniform(num_pairs=256)
    method = Method(
        terms={
            "pixel": Term(loss=DecoupledNCE(), sample=sample),
            "class": Term(loss=SupCon(), sample=sample, head="class", weight=0.5),
        }
    )
    crop = CropImages(rows_px=48, columns_px=88, min_area=0.5, min_pairs=8)
    pretrained = PretrainConfig(
        data=TRAIN,
        method=method,
        backbone=Pillars(width=32),
        teacher=FilterBankTeacher(width=32),
        labels=Bands(),
        voxels=Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3)),
        augmentations={"rotate_flip": RotateFlip(), "crop_images": crop},
        num_channels=32,
        optimiser=Sgd(lr=0.1),
        num_epochs=4,
        batch_frames=4,
        contrast_frames=2,
    )
    return EvaluateConfig(
        pretrained=pretrained, train=TRAIN, val=VAL, optimiser=Sgd(lr=1.0), num_epochs=20,
        batch_frames=4,
    )  # fmt: skip
