import pytest
import torch
import torch.nn.functional as F

from olivine.methods.losses import log_sum_exp as contrast
from olivine.methods.losses.log_sum_exp import TiledLogSumExp, class_log_sum_exps, log_sum_exp

GENERATOR = torch.Generator().manual_seed(0)


def unit(number, channels=6):
    return F.normalize(
        torch.randn(number, channels, generator=GENERATOR, dtype=torch.double), dim=1
    )


QUERIES, KEYS = unit(13), unit(17)
CLASSES = torch.arange(13) % 4, torch.arange(17) % 4


@pytest.fixture
def tiny_tiles(monkeypatch):
    """Cut everything into tiles whose last ones are not full."""
    monkeypatch.setitem(contrast.TILE_SIDE, "cpu", 5)


def value_and_gradients(dtype=torch.double):
    rows = [x.to(dtype).clone().requires_grad_() for x in (QUERIES, KEYS)]
    total, same = class_log_sum_exps(*rows, *CLASSES, 0.07)
    alone = log_sum_exp(*rows, 0.07)
    weight = torch.linspace(-1, 2, len(QUERIES), dtype=dtype)  # no symmetry hides an error
    (total @ weight + same @ weight.flip(0) + alone.sum()).backward()
    return total.detach(), same.detach(), alone.detach(), rows[0].grad, rows[1].grad


@pytest.mark.parametrize("dtype", [torch.double, torch.float])
def test_tiles_equal_one_matrix_in_value_and_gradient(dtype, monkeypatch):
    dense = value_and_gradients(dtype)
    monkeypatch.setitem(contrast.TILE_SIDE, "cpu", 5)
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.double else {}
    for ours, expected in zip(value_and_gradients(dtype), dense, strict=True):
        torch.testing.assert_close(ours, expected, **tolerance)


def test_the_gradient_is_that_of_finite_differences(tiny_tiles):
    rows = QUERIES.clone().requires_grad_(), KEYS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k: class_log_sum_exps(q, k, *CLASSES, 0.3), rows)
    assert torch.autograd.gradcheck(lambda q, k: log_sum_exp(q, k, 0.3), rows)


def test_frozen_keys_get_no_gradient_and_a_class_without_keys_harms_nobody(tiny_tiles):
    queries = QUERIES.clone().requires_grad_()
    classes = CLASSES[0].clone()
    classes[3] = 9
    total, same = class_log_sum_exps(queries, KEYS, classes, CLASSES[1], 0.07)
    assert same[3] == -torch.inf
    (total.sum() + same[:3].sum()).backward()
    assert queries.grad.isfinite().all()


def test_many_rows_never_make_the_whole_matrix(monkeypatch):
    largest = 0
    original = torch.Tensor.__matmul__

    def watched(left, right):
        nonlocal largest
        made = original(left, right)
        largest = max(largest, made.numel())
        return made

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    rows = unit(5000, 4).float().requires_grad_()
    log_sum_exp(rows, rows, 0.07).sum().backward()
    assert 0 < largest <= contrast.TILE_SIDE["cpu"] ** 2


@pytest.mark.parametrize("side", [5, 1024])
def test_under_autocast_logits_are_single_precision(side, monkeypatch):
    monkeypatch.setitem(contrast.TILE_SIDE, "cpu", side)
    rows = [x.float().clone().requires_grad_() for x in (QUERIES, KEYS)]
    expected = log_sum_exp(*rows, 0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_sum_exp(*rows, 0.01)
        found.sum().backward()
    gradient = rows[0].grad.clone()
    rows[0].grad = None
    expected.sum().backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    if side == 5:  # a dense backward inside autocast is autograd's own affair
        torch.testing.assert_close(gradient, rows[0].grad)


def test_classes_are_optional():
    total, nothing = TiledLogSumExp.apply(QUERIES, KEYS, None, 0.07)
    torch.testing.assert_close(total, log_sum_exp(QUERIES, KEYS, 0.07))
    assert (nothing == 0).all()
