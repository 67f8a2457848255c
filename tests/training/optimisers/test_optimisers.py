"""Optimisers and how their rates go over a training."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from olivine.core.errors import UserError
from olivine.training.optimisers.adamw import AdamW
from olivine.training.optimisers.base import set_rates
from olivine.training.optimisers.sgd import Sgd

STEPS, EPOCHS = 10, 4
SETTINGS = [Sgd(), AdamW(warmup_steps=8)]


def rates(settings, groups=None):
    """Return the rate of every group at every step."""
    groups = groups or [{"params": [nn.Parameter(torch.zeros(1))]}]
    optimiser, found = settings.build(groups), []
    for step in range(STEPS * EPOCHS):
        set_rates(optimiser, settings.rate_share(step, STEPS, EPOCHS))
        found.append([group["lr"] for group in optimiser.param_groups])
    return found


def test_sgd_has_torchs_cosine_over_epochs():
    settings = Sgd(lr=0.3)
    optimiser = settings.build([{"params": [nn.Parameter(torch.zeros(1))]}])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=EPOCHS)
    expected = []
    for _ in range(EPOCHS):
        expected += cosine.get_last_lr() * STEPS
        optimiser.step()
        cosine.step()
    assert [rate for (rate,) in rates(settings)] == pytest.approx(expected)


def test_adamw_has_torchs_warm_up_and_cosine_over_steps():
    settings = AdamW(lr=0.3, warmup_steps=8, final_lr=0.01)
    optimiser = settings.build([{"params": [nn.Parameter(torch.zeros(1))]}])
    schedulers = torch.optim.lr_scheduler
    warmup = schedulers.LinearLR(optimiser, start_factor=1 / 8, total_iters=7)
    expected = []
    for _ in range(8):
        expected += warmup.get_last_lr()
        optimiser.step()
        warmup.step()
    optimiser = settings.build([{"params": [nn.Parameter(torch.zeros(1))]}])
    num_falling = STEPS * EPOCHS - 8
    cosine = schedulers.CosineAnnealingLR(optimiser, T_max=num_falling, eta_min=0.01)
    for _ in range(num_falling):
        expected += cosine.get_last_lr()
        optimiser.step()
        cosine.step()
    assert [rate for (rate,) in rates(settings)] == pytest.approx(expected)


@given(
    warmup_steps=st.integers(0, STEPS * EPOCHS - 1),
    final_lr=st.floats(0, 0.3),
    step=st.integers(0, STEPS * EPOCHS - 1),
)
def test_a_rate_never_leaves_its_bounds(warmup_steps, final_lr, step):
    settings = AdamW(lr=0.3, warmup_steps=warmup_steps, final_lr=final_lr)
    share = settings.rate_share(step, STEPS, EPOCHS)
    assert 0 < share <= 1 + 1e-12
    if step >= warmup_steps:
        assert share >= final_lr / 0.3 - 1e-12


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_group_with_a_rate_of_its_own_has_the_same_share_of_it(settings):
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": weights[:1], "lr": 10 * settings.lr}, {"params": weights[1:]}]
    for head, trunk in rates(settings, groups):
        assert head == pytest.approx(10 * trunk)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_comes_closer_to_the_lowest_point_of_a_bowl(settings):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(5))
    before = (weight.detach() - 1).norm()
    chosen = settings.override({"lr": 0.1, "weight_decay": 0.0})
    optimiser = chosen.build([{"params": [weight]}])
    for step in range(STEPS * EPOCHS):
        set_rates(optimiser, chosen.rate_share(step, STEPS, EPOCHS))
        optimiser.zero_grad()
        (weight - 1).square().sum().backward()
        optimiser.step()
    assert (weight.detach() - 1).norm() < before / 3


def test_a_warm_up_longer_than_the_training_is_one_sentence():
    with pytest.raises(UserError, match=r"warmup_steps=40 is not below the 40 steps"):
        AdamW(warmup_steps=40).rate_share(0, STEPS, EPOCHS)


def test_a_final_rate_above_the_first_is_refused():
    with pytest.raises(UserError, match="must not be above"):
        AdamW.from_dict({"lr": 1e-3, "final_lr": 1e-2})
