"""The contract of an optimiser."""

import math

import torch
from torch import nn

from olivine.testing.settings import check_settings, require
from olivine.training.optimisers.base import Optimiser, set_rates

NUM_STEPS, NUM_EPOCHS = 20_000, 4  # of a training as long as the published ones


def check_optimiser(optimiser: Optimiser) -> None:
    """Check the promises of an optimiser.

    Its settings can be written and read again. The rate of every step of a training is a share (0
    to 1) of the first one, and each group has its own first rate; steps lower a loss. A checkpoint
    restores its state: two steps and two more equal four steps.

    Raises AssertionError for a promise that is broken.
    """
    check_settings(optimiser)
    for step in (0, 1, NUM_STEPS // 2, NUM_STEPS * NUM_EPOCHS - 1):
        share = optimiser.rate_share(step, NUM_STEPS, NUM_EPOCHS)
        kept = math.isfinite(share) and 0 <= share <= 1
        require(kept, optimiser, f"at step {step} the rate is {share} of the first, not 0 to 1")
    _check_groups(optimiser)
    first, last = _trained(optimiser, 0)[1], _trained(optimiser, 4)[1]
    require(last < first, optimiser, f"four steps take a loss from {first:.4g} to {last:.4g}")
    whole, resumed = _trained(optimiser, 4)[0], _trained(optimiser, 2, 2)[0]
    same = all(map(torch.equal, whole.parameters(), resumed.parameters()))
    require(same, optimiser, "two steps and two more are not four steps")


def _check_groups(optimiser: Optimiser) -> None:
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    built = optimiser.build([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.125}])
    rates = [group["initial_lr"] for group in built.param_groups if "initial_lr" in group]
    kept = rates == [optimiser.lr, 0.125]
    require(kept, optimiser, "a group's first rate is not recorded: build by with_first_rates")
    set_rates(built, 0.5)
    kept = [group["lr"] for group in built.param_groups] == [optimiser.lr / 2, 0.0625]
    require(kept, optimiser, "a group does not keep its own rate")


def _trained(optimiser: Optimiser, *num_steps: int) -> tuple[nn.Module, float]:
    """Return a network trained for some steps, with checkpoints in between, and its loss."""
    torch.manual_seed(0)
    network, inputs = nn.Linear(4, 1), torch.randn(32, 4)
    target, state = inputs.sum(dim=1, keepdim=True), None
    rates = {"lr": min(optimiser.lr, 0.05)}  # small enough for any optimiser
    for num in num_steps:
        built = optimiser.build([{"params": list(network.parameters()), **rates}])
        if state is not None:
            built.load_state_dict(state)
        for _ in range(num):
            built.zero_grad()
            (network(inputs) - target).square().mean().backward()
            built.step()
        state = built.state_dict()
    with torch.no_grad():
        return network, float((network(inputs) - target).square().mean())
