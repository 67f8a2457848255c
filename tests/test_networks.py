import torch

from olivine.networks import Frozen

GENERATOR = torch.Generator().manual_seed(0)


def test_a_frozen_network_refuses_to_be_trained():
    frozen = Frozen(torch.nn.BatchNorm2d(3))
    outer = torch.nn.Sequential(frozen).train()
    images = torch.randn(2, 3, 4, 4, generator=GENERATOR)
    before = frozen.network.running_mean.clone()
    assert not outer(images).requires_grad
    assert torch.equal(frozen.network.running_mean, before)
    assert not frozen.network.training
