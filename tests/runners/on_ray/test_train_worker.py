"""How a worker of Ray Train wraps the network that it trains."""

import os

import pytest
import ray
import ray.train.torch
import torch
from torch import nn

from olivine.models.sparse.batch_norm import RowBatchNorm
from olivine.runners.on_ray.assigned import assigned_machine
from olivine.runners.on_ray.train import RayWorker


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batch_norms_are_synchronised_on_every_device_and_keep_their_class(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olivine.models.synchronised_norms.num_workers", lambda: 2)
    monkeypatch.setattr(ray.train.torch, "prepare_model", lambda module, **_: module)
    worker = RayWorker.__new__(RayWorker)  # its __init__ needs a run of Ray Train
    worker.rank, worker.world_size, worker.device = 0, 2, torch.device(device)
    network = nn.Sequential(nn.BatchNorm2d(2), RowBatchNorm(2))
    assert worker.wrap(network) is network
    assert [type(module) for module in network] == [nn.BatchNorm2d, RowBatchNorm]
    assert ["forward" in vars(module) for module in network] == [True, False]


@pytest.mark.slow
def test_a_process_of_ray_has_its_part_of_the_cpus(local_ray: str) -> None:
    ask = ray.remote(num_cpus=1)(assigned_machine)
    in_a_group = ray.util.placement_group([{"CPU": 1}])
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(in_a_group)
    here, grouped = ray.get([ask.remote(), ask.options(scheduling_strategy=strategy).remote()])
    ray.util.remove_placement_group(in_a_group)
    assert here.num_cpus == grouped.num_cpus == min(2, os.cpu_count() or 1) / 2
