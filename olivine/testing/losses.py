"""The contract of a loss."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from olivine.data.records import IGNORE
from olivine.methods.losses.base import Loss
from olivine.methods.losses.stateful import Stateful
from olivine.methods.matched import WHOLE, Matched
from olivine.testing.rows import matched_rows
from olivine.testing.settings import check_settings, devices, require

NUM_CHANNELS, NUM_CLASSES = 16, 5
NUM_WARM = 3  # steps of a loss with a memory before its value is checked
NUM_STEPS, LR = 40, 0.03  # step by which queries are moved to lower the loss


def check_loss(loss: Loss, *, falls: bool = True) -> None:
    """Check the promises of a loss.

    Its settings can be written and read again. Its value is one finite number in single precision,
    also for rows in half precision, and the gradients are finite. It does not depend on the order
    of the rows; equal seeds give equal values. It accepts no row, one row and rows without a class,
    and does not change them. A checkpoint restores its state. Moving the queries along the gradient
    lowers it. A GPU gives the same value up to rounding.

    `falls=False` leaves out the check that it is lowered, for a loss whose settings keep it at
    zero. Raises AssertionError for a promise that is broken.
    """
    check_settings(loss)
    _check_value(loss)
    _check_order(loss)
    _check_odd_rows(loss)
    _check_state(loss)
    if falls:
        _check_falls(loss)
    _check_devices(loss)


def _build(loss: Loss, device: torch.device | str = "cpu") -> nn.Module:
    torch.manual_seed(0)
    module = loss.build(NUM_CHANNELS, NUM_CLASSES).to(device).train()
    for step in range(NUM_WARM):
        _observe(module, _on(_rows(loss, seed=100 + step), device))
    return module


def _rows(loss: Loss, **how: Any) -> Matched:
    return matched_rows(loss, num_channels=NUM_CHANNELS, num_classes=NUM_CLASSES, **how)


def _on(matched: Matched, device: torch.device | str) -> Matched:
    moved = {name: rows.to(device) for name, rows in vars(matched).items() if rows is not None}
    return replace(matched, **moved)


def _observe(module: nn.Module, matched: Matched) -> None:
    if isinstance(module, Stateful):
        module.observe(matched, WHOLE)


def _value(loss: Loss, module: nn.Module, matched: Matched) -> tuple[Tensor, Tensor]:
    """Return the value of a step and the gradient of the queries."""
    queries = matched.queries.clone().requires_grad_()
    matched = replace(matched, queries=queries)
    _observe(module, matched)
    value = module(matched)
    require(
        isinstance(value, Tensor) and value.shape == (), loss, "the value is not a single number"
    )
    require(bool(value.isfinite()), loss, f"the value is {value.item()}")
    require(value.requires_grad, loss, "no gradient flows to the queries")
    (gradient,) = torch.autograd.grad(value, queries, allow_unused=True)
    require(gradient is not None, loss, "no gradient flows to the queries")
    require(bool(gradient.isfinite().all()), loss, "a gradient is not finite")
    return value.detach(), gradient


def _check_value(loss: Loss) -> None:
    matched = _rows(loss)
    before = {name: rows.clone() for name, rows in vars(matched).items() if rows is not None}
    value, gradient = _value(loss, _build(loss), matched)
    for name, rows in before.items():
        require(torch.equal(rows, getattr(matched, name)), loss, f"it changes its {name} in place")
    again, same_gradient = _value(loss, _build(loss), matched)
    require(bool(value == again), loss, "the same seed gives another value")
    require(torch.equal(gradient, same_gradient), loss, "the same seed gives another gradient")
    for dtype in (torch.bfloat16, torch.float16):
        half = {name: rows.to(dtype) for name, rows in before.items() if rows.is_floating_point()}
        found, _ = _value(loss, _build(loss), replace(matched, **half))
        require(found.dtype == torch.float32, loss, f"for {dtype} rows it returns {found.dtype}")


def _check_order(loss: Loss) -> None:
    matched = _rows(loss)
    order = torch.randperm(len(matched.queries), generator=torch.Generator().manual_seed(7))
    one, gradient = _value(loss, _build(loss), matched)
    other, permuted = _value(loss, _build(loss), matched.take(order))
    require(_close(one, other), loss, f"another order of rows gives {other}, not {one}")
    require(_close(gradient[order], permuted), loss, "another order of rows gives other gradients")
    if loss.shares_keys:
        _value(loss, _build(loss), _rows(loss, shared=True))


def _check_odd_rows(loss: Loss) -> None:
    matched = _rows(loss)
    unlabelled = torch.full_like(matched.class_ids, IGNORE)
    nothing = matched.take(torch.zeros(0, dtype=torch.long))
    for rows in (nothing, matched.take(slice(0, 1)), replace(matched, class_ids=unlabelled)):
        _value(loss, _build(loss), rows)


def _check_state(loss: Loss) -> None:
    module, matched = _build(loss), _rows(loss)
    torch.manual_seed(1)
    restored = loss.build(NUM_CHANNELS, NUM_CLASSES).train()
    restored.load_state_dict(module.state_dict())
    one, other = _value(loss, module, matched)[0], _value(loss, restored, matched)[0]
    require(bool(one == other), loss, "its state does not survive a checkpoint")
    if isinstance(module, Stateful):
        for name, number in module.state_metrics().items():
            require(bool(number.isfinite()), loss, f"the metric {name} is {number.item()}")


def _check_falls(loss: Loss) -> None:
    module, matched = _build(loss), _rows(loss)
    weights = matched.queries.clone().requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=LR)
    _observe(module, matched)  # only once, because the same keys again would count as other rows
    values = []
    for _ in range(NUM_STEPS):
        value = module(replace(matched, queries=F.normalize(weights, dim=1)))
        values.append(value.item())
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    course = f"from {values[0]:.4g} to {values[-1]:.4g}"
    require(
        values[-1] < values[0], loss, f"moving the queries along its gradient takes it {course}"
    )


def _check_devices(loss: Loss) -> None:
    matched = _rows(loss)
    wanted, _ = _value(loss, _build(loss), matched)
    for device in devices():
        found, _ = _value(loss, _build(loss, device), _on(matched, device))
        require(_close(wanted, found.cpu(), 1e-3), loss, f"on {device} it is {found}, not {wanted}")


def _close(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> bool:
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance * 1e-1)
