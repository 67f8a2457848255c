import torch
import torch.nn.functional as F

from olivine.data.batch import Voxels
from olivine.methods.distillation import Frozen, MomentumEncoder
from olivine.methods.features import mean_of_scans, segment_shares

GENERATOR = torch.Generator().manual_seed(0)
MAPS = torch.randn(2, 10, 5, 7, generator=GENERATOR, dtype=torch.double)
SIZE_PX = (21, 33)


def test_pooling_the_small_map_equals_pooling_the_enlarged_one():
    segments = torch.randint(0, 5, SIZE_PX, generator=GENERATOR, dtype=torch.uint8)
    wanted = torch.tensor([0, 2, 4])

    shares = segment_shares(segments, wanted, MAPS.shape[2:]).double()

    whole = F.interpolate(MAPS, SIZE_PX, mode="bilinear", align_corners=True)[0]
    expected = torch.stack([whole[:, segments == one].mean(dim=1) for one in wanted])
    torch.testing.assert_close(shares @ MAPS[0].flatten(1).T, expected, atol=1e-5, rtol=1e-5)


def test_a_frozen_network_refuses_to_be_trained():
    frozen = Frozen(torch.nn.BatchNorm2d(3))
    outer = torch.nn.Sequential(frozen).train()
    images = torch.randn(2, 3, 4, 4, generator=GENERATOR)
    before = frozen.network.running_mean.clone()
    assert not outer(images).requires_grad
    assert torch.equal(frozen.network.running_mean, before)
    assert not frozen.network.training


def test_the_slow_student_moves_a_share_of_the_way_and_takes_no_gradient():
    student = torch.nn.ModuleDict(
        {
            "backbone": torch.nn.Linear(3, 3),
            "heads": torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2)}),
        }
    )
    slow = MomentumEncoder(student, momentum=0.9)
    before = slow.student["backbone"].weight.clone()
    with torch.no_grad():
        student["backbone"].weight += 1.0

    slow.follow(student["backbone"], student["heads"])

    torch.testing.assert_close(slow.student["backbone"].weight, before + 0.1)
    assert not any(weight.requires_grad for weight in slow.parameters())
    assert all(weight.requires_grad for weight in student.parameters())


def test_a_scans_feature_is_the_mean_of_its_voxels():
    frame = torch.tensor([0, 2, 2, 0, 2])
    coordinates = torch.stack([frame, *[torch.zeros_like(frame)] * 3], dim=1)
    voxels = Voxels(coordinates, torch.ones(5, 1), torch.arange(5), torch.arange(5))
    rows = torch.randn(5, 4, generator=GENERATOR)

    means = mean_of_scans(rows, voxels, 3)

    torch.testing.assert_close(means[0], rows[[0, 3]].mean(dim=0))
    torch.testing.assert_close(means[2], rows[[1, 2, 4]].mean(dim=0))
    assert not means[1].any()  # a scan without a voxel
