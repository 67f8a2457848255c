"""MinkowskiEngine and our own engine convolve alike, forwards and backwards."""

import sys

import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.sparse import minkowski
from olivine.models.sparse.grid import TorchGrid
from olivine.models.sparse.minkowski import MinkowskiGrid

TINY = MinkUNet(stem_channels=8, planes=(8, 12, 12, 8), blocks=(1, 1, 1, 1))


@pytest.fixture
def engine():
    """Skip where it is not built; the project's CI builds it."""
    try:
        return minkowski.minkowski_engine()
    except UserError as error:
        pytest.skip(str(error))


def cells(count=300, extent=9, frames=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(-extent, extent, (count, 4), generator=generator)
    found[:, 0] %= frames
    found = torch.unique(found, dim=0)
    return found[torch.randperm(len(found), generator=generator)]


def convolved(open_grid, path, coordinates, features, kernels):
    """Convolve along levels and return the result and all gradients."""
    given = [tensor.clone().requires_grad_() for tensor in (features, *kernels)]
    grid, rows = open_grid(coordinates), given[0]
    for (source, target), kernel in zip(path, given[1:], strict=True):
        rows = grid.convolve(rows, kernel, source, target)
    (rows * torch.linspace(-1, 1, rows.shape[1], dtype=rows.dtype)).square().sum().backward()
    return rows, [tensor.grad for tensor in given]


@pytest.mark.parametrize(
    "path",
    [
        [(0, 0)],
        [(0, 1), (1, 0)],
        [(0, 1), (1, 1), (1, 2), (2, 2), (2, 1), (1, 0), (0, 0)],
    ],
)
def test_outputs_and_gradients_are_ours(engine, path):
    torch.manual_seed(0)
    coordinates = cells()
    channels = torch.randint(2, 7, (len(path) + 1,)).tolist()
    features = torch.randn(len(coordinates), channels[0], dtype=torch.float64)
    kernels = [
        torch.randn(27 if a == b else 8, channels[i], channels[i + 1], dtype=torch.float64) / 9
        for i, (a, b) in enumerate(path)
    ]
    ours = convolved(TorchGrid, path, coordinates, features, kernels)
    theirs = convolved(MinkowskiGrid, path, coordinates, features, kernels)
    torch.testing.assert_close(theirs, ours)


def voxels():
    coordinates = cells(500, 12)
    rows = torch.arange(len(coordinates))
    features = torch.rand(len(coordinates), 1, generator=torch.Generator().manual_seed(1))
    return Voxels(coordinates, features, rows, rows)


def build(name):
    torch.manual_seed(0)
    return TINY.override({"engine": name}).build(1)


def test_the_network_gives_the_same_and_learns_the_same(engine):
    found = []
    for name in ("torch", "minkowski"):
        net = build(name)
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            net(voxels()).square().mean().backward()
            optimiser.step()
        found.append([net.eval()(voxels()).detach(), *net.state_dict().values()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-5)


def test_no_voxels_and_one_voxel(engine):
    net = build("minkowski")
    rows = torch.zeros(0, dtype=torch.long)
    empty = Voxels(torch.zeros(0, 4, dtype=torch.int32), torch.zeros(0, 1), rows, rows)
    output = net(empty)
    output.sum().backward()
    assert output.shape == (0, TINY.num_channels)
    rows = torch.arange(1)
    one = Voxels(torch.zeros(1, 4, dtype=torch.int32), torch.ones(1, 1), rows, rows)
    torch.testing.assert_close(net.eval()(one), build("torch").eval()(one))


def test_under_autocast_it_convolves_in_single_precision(engine):
    net = build("minkowski").eval()
    with torch.no_grad():
        expected = net(voxels())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = net(voxels()).float()
    assert (output - expected).norm() / expected.norm() < 0.05


class OlderBuild:
    """An engine that refuses half precision as MinkowskiEngine 0.5.4 does."""

    wrong = False

    def __init__(self, coordinates):
        self._grid = TorchGrid(coordinates)

    def convolve(self, features, kernel, source, target):
        half = kernel.dtype in (torch.float16, torch.bfloat16)
        if half and not self.wrong:
            raise RuntimeError("\"convolution_forward_gpu\" not implemented for 'Half'\nTrace")
        return self._grid.convolve(features, kernel, source, target) * (0.5 if half else 1.0)


class WrongBuild(OlderBuild):
    wrong = True


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("open_grid", "works"), [(TorchGrid, True), (OlderBuild, False), (WrongBuild, False)]
)
def test_a_build_is_used_in_half_precision_if_it_has_it(open_grid, works, precision, caplog):
    minkowski.convolves_in.cache_clear()
    with caplog.at_level("INFO", "olivine"):
        for _ in range(2):
            assert minkowski.convolves_in(precision, "cpu", open_grid) == works
    said = [record.message for record in caplog.records]
    assert len(said) == (0 if works else 1), "a build is tried once"
    assert all("in float32" in text and "Trace" not in text for text in said)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("autocast", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("has", [(), (torch.float16,), (torch.float16, torch.bfloat16)])
def test_the_precision_is_autocasts_where_the_build_has_it(device, autocast, has, monkeypatch):
    monkeypatch.setattr(
        torch, "is_autocast_enabled", lambda kind: kind == device and bool(autocast)
    )
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda kind: autocast)
    monkeypatch.setattr(
        minkowski, "convolves_in", lambda dtype, kind, _: kind == "cuda" and dtype in has
    )
    chosen = minkowski.product_precision(torch.device(device))
    assert chosen == (autocast if device == "cuda" and autocast in has else None)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_the_released_build_has_no_half_precision_on_a_cpu(engine, precision):
    assert not minkowski.convolves_in(precision, "cpu", MinkowskiGrid)
    assert minkowski.convolves_in(torch.float64, "cpu", MinkowskiGrid)


def test_an_engine_that_is_not_there_is_told_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "MinkowskiEngine", None)  # what makes an import fail
    with pytest.raises(UserError, match=r"MinkowskiEngine, .*commands of docs/networks\.md"):
        build("minkowski")


def test_the_engine_is_in_no_fingerprint_and_an_unknown_one_is_refused():
    other = TINY.override({"engine": "minkowski"})
    assert other.fingerprint() == TINY.fingerprint()
    assert other.to_dict()["engine"] == "minkowski"
    with pytest.raises(UserError, match="engine"):
        TINY.override({"engine": "spconv"})
