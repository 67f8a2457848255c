"""Two workers train a network as one process with all rows does, after the worker's conversion."""

import collections
import contextlib

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.models.activation_checkpointing import recompute_activations
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.sparse.batch_norm import RowBatchNorm
from olivine.models.synchronised_norms import synchronise_batch_norms

STEPS, LEVELS, CHANNELS = 3, 3, 3
UNET = MinkUNet(stem_channels=4, planes=(4, 6, 6, 4), blocks=(1, 1, 1, 1))


class Dense(nn.Module):
    """A user's network: torch's batch norms, one of them in two places and one without weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(CHANNELS, 4)
        self.shared = nn.BatchNorm1d(4, momentum=None)
        self.along = nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4, affine=False))
        self.image = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, momentum=0.3))
        self.last = nn.Linear(4, 4)

    def forward(self, rows):
        rows = self.shared(self.first(rows)).relu()
        rows = self.shared(self.last(rows))
        row = self.along(rows[:, :, None].expand(-1, -1, 5) * torch.arange(1, 6))
        return self.image(row[..., None]).flatten(1)


def voxels(frame, count):
    """Return the voxels of one frame, at random cells."""
    generator = torch.Generator().manual_seed(frame)
    cells = torch.randint(0, 8, (count, 4), generator=generator)
    cells[:, 0] = 0
    cells = torch.unique(cells, dim=0)
    features = torch.rand(len(cells), CHANNELS, generator=generator) * (frame + 1)
    rows = torch.arange(len(cells))
    return Voxels(cells.int(), features, rows, rows)


def together(first, second):
    second_cells = second.coordinates + torch.tensor([1, 0, 0, 0], dtype=torch.int32)
    rows = torch.arange(len(first.coordinates) + len(second.coordinates))
    return Voxels(
        torch.cat([first.coordinates, second_cells]),
        torch.cat([first.features, second.features]),
        rows,
        rows,
    )


# Kind of network, and the voxels of either worker.
CASES = {
    "unet": (60, 25),
    "unet_recomputed": (60, 25),
    "unet_empty_worker": (60, 0),
    "dense": (9, 4),
    "dense_empty_worker": (0, 7),
}


def build(case):
    torch.manual_seed(0)
    if case.startswith("dense"):
        return Dense()
    network = UNET.build(CHANNELS)
    if case == "unet_recomputed":
        recompute_activations(network, "minkunet")
    return network


def train(network, wrapped, inputs, share):
    """Return the gradients of the last step."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02)
    for _ in range(STEPS):
        optimiser.zero_grad()
        output = wrapped(inputs)
        direction = torch.linspace(-1, 2, output.shape[1])
        # A batch's loss is the mean over the workers of theirs.
        (share * (output * direction).tanh().sum()).backward()
        optimiser.step()
    return [parameter.grad for parameter in network.parameters()]


def given(case, found):
    return found.features if case.startswith("dense") else found


@contextlib.contextmanager
def counted():
    """Count the exchanges by the type of their numbers."""
    kinds, exchange = collections.Counter(), torch.distributed.all_reduce

    def all_reduce(tensor, *args, **kwargs):
        kinds[tensor.dtype] += 1
        return exchange(tensor, *args, **kwargs)

    torch.distributed.all_reduce = all_reduce
    try:
        yield kinds
    finally:
        torch.distributed.all_reduce = exchange


def train_as_one_of_two(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    for case, counts in CASES.items():
        network = build(case)
        names = [name for name, _ in network.named_modules()]
        synchronise_batch_norms(network.train())
        wrapped = DistributedDataParallel(network, broadcast_buffers=False)
        assert [name for name, _ in network.named_modules()] == names
        with counted() as kinds:
            gradients = train(network, wrapped, given(case, voxels(rank, counts[rank])), 2.0)
        state = (network.state_dict(), gradients, kinds)
        torch.save(state, folder / f"{case}_{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trained_together(tmp_path_factory):
    """Return the folder where two processes left their networks."""
    folder = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(train_as_one_of_two, (folder,), nprocs=2)
    return folder


def loaded(folder, case, rank):
    return torch.load(folder / f"{case}_{rank}.pt", weights_only=False)


@pytest.mark.parametrize("case", CASES)
def test_two_workers_train_as_one_process_with_all_rows(case, trained_together):
    alone = build(case).train()
    inputs = together(*(voxels(rank, count) for rank, count in enumerate(CASES[case])))
    gradients = train(alone, alone, given(case, inputs), 1.0)
    before = build(case).state_dict()
    for rank in range(2):
        state, theirs, _ = loaded(trained_together, case, rank)
        assert list(state) == list(alone.state_dict())
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)
            assert value.numel() < 3 or not torch.equal(value, before[name]), f"{name} learns"
        torch.testing.assert_close(theirs, gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", ["unet", "unet_recomputed", "unet_empty_worker"])
def test_a_level_exchanges_its_count_once_and_a_layer_its_sums(case, trained_together):
    _, _, kinds = loaded(trained_together, case, 0)
    num_layers = sum(isinstance(module, RowBatchNorm) for module in build(case).modules())
    assert num_layers > 2 * LEVELS
    assert kinds[torch.int64] == STEPS * LEVELS
    if case != "unet_recomputed":
        assert kinds[torch.float64] == STEPS * num_layers


class OwnNorm(nn.BatchNorm1d):
    def forward(self, input):
        return 2 * super().forward(input)


class SharedNorm(OwnNorm):
    statistics_of_all_workers = True


def test_a_class_of_a_user_is_never_made_another(monkeypatch):
    monkeypatch.setattr("olivine.models.synchronised_norms.num_workers", lambda: 2)
    network = nn.Sequential(nn.Linear(2, 2), OwnNorm(2), nn.SyncBatchNorm(2), RowBatchNorm(2))
    with pytest.raises(UserError, match=r"layer 1 is a OwnNorm.*runtime\.num_workers=1"):
        synchronise_batch_norms(network)
    synchronise_batch_norms(network.eval())  # a teacher, whose statistics are fixed
    network[1] = SharedNorm(2)
    before = [vars(module).copy() for module in network.train()]
    synchronise_batch_norms(network)
    assert [vars(module) for module in network] == before


def test_one_process_keeps_torch_s_own(monkeypatch):
    network = nn.Sequential(OwnNorm(2), nn.BatchNorm1d(2))
    synchronise_batch_norms(network)
    assert all("forward" not in vars(module) for module in network)
