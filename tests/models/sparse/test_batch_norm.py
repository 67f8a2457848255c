import pytest
import torch
from torch import nn

from olivine.core.errors import UserError
from olivine.models.sparse.batch_norm import RowBatchNorm

CHANNELS = 5
SHARES = ([9, 4], [11, 0], [1, 6])  # rows of each of two workers
STEPS = 3


def rows_of(step, worker, count):
    generator = torch.Generator().manual_seed(10 * step + worker)
    rows = torch.randn(count, CHANNELS, generator=generator) * (worker + 1) + 30 * worker
    return rows, torch.randn(count, CHANNELS, generator=generator)


def layer(kind, momentum=0.05):
    norm = kind(CHANNELS, momentum=momentum)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, CHANNELS))
        norm.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    return norm


def run(norm, rows, gradient):
    """Return output and gradients of one training step, then in evaluation."""
    norm.zero_grad()
    rows = rows.clone().requires_grad_()
    output = norm(rows)
    output.backward(gradient)
    return [output.detach(), rows.grad, norm.weight.grad, norm.bias.grad]


def train_as_one_of_two(worker, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=worker, world_size=2
    )
    for case, shares in enumerate(SHARES):
        norm, results = layer(RowBatchNorm), []
        for step in range(STEPS):
            results.append(run(norm, *rows_of(step, worker, shares[worker])))
        torch.save((results, norm.state_dict()), folder / f"{case}_{worker}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trained_together(tmp_path_factory):
    """Return the folder where two processes left their results."""
    folder = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(train_as_one_of_two, (folder,), nprocs=2)
    return folder


@pytest.mark.parametrize("case", range(len(SHARES)))
def test_two_workers_equal_one_with_their_rows_put_together(case, trained_together):
    shares = SHARES[case]
    workers = [torch.load(trained_together / f"{case}_{worker}.pt") for worker in range(2)]
    norm = layer(nn.BatchNorm1d)
    for step in range(STEPS):
        parts = [rows_of(step, worker, shares[worker]) for worker in range(2)]
        expected = run(norm, *(torch.cat(part) for part in zip(*parts, strict=True)))
        ours = [results[step] for results, _ in workers]
        for i, joined in enumerate((torch.cat, torch.cat, sum, sum)):
            # Gradients of the rows are differences of sums, hence the absolute tolerance.
            torch.testing.assert_close(
                joined([ours[0][i], ours[1][i]]), expected[i], rtol=1e-4, atol=2e-5
            )
    for _, state in workers:
        assert list(state) == list(norm.state_dict())
        for name, value in norm.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-5, atol=1e-6)


def test_alone_it_is_torch_s():
    ours, torchs = layer(RowBatchNorm), layer(nn.BatchNorm1d)
    for step in range(STEPS):
        for mine, theirs in zip(
            run(ours, *rows_of(step, 1, 8)), run(torchs, *rows_of(step, 1, 8)), strict=True
        ):
            assert torch.equal(mine, theirs)
    rows, _ = rows_of(9, 0, 4)
    assert torch.equal(ours.eval()(rows), torchs.eval()(rows))
    assert ours.state_dict().keys() == torchs.state_dict().keys()


def test_no_rows_leave_the_statistics_alone():
    norm = layer(RowBatchNorm)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    assert norm(torch.zeros(0, CHANNELS)).shape == (0, CHANNELS)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])


def test_one_row_cannot_train_and_says_what_to_do():
    with pytest.raises(UserError, match="smaller voxels"):
        layer(RowBatchNorm)(torch.zeros(1, CHANNELS))
