"""What a vMF bank learns from a step: per contrast group as published, or from all points."""

import pytest
import torch
import torch.nn.functional as F

from olivine.data.records import IGNORE
from olivine.methods.losses.vmf import VMF
from olivine.methods.losses.vmf.density import concentration
from olivine.methods.losses.vmf.loss import VonMisesFisher
from olivine.methods.matched import WHOLE, Matched, StepPart

NUM_CLASSES, CHANNELS = 5, 8
GROUPS = range(4, 8)  # of one worker; not every one has rows in every step
NUM_UPDATES, NUM_GROUPS, GROUP_FRAMES = 10_001, 4, 4
SHARES = (0.5, 0.1, 0.03, 0.01)  # of the frames that have a class
IN_PRINT = {"per_group": (40.7, 15.7, 5.6, 2.0), "pooled": (43.3, 35.5, 17.5, 7.2)}


def step(number: int) -> Matched:
    """Return the rows of a step; one group has none, and a class is in some groups alone."""
    generator = torch.Generator().manual_seed(number)
    rows = F.normalize(torch.randn(60, CHANNELS, generator=generator), dim=1)
    classes = torch.randint(0, NUM_CLASSES - 1, (60,), generator=generator)
    groups = torch.tensor([4] * 25 + [5] * 20 + [7] * 15)
    classes[groups != 5] = classes[groups != 5].clamp(max=2)
    classes[::7] = IGNORE
    return Matched(rows, None, classes, groups)


def moved_by_ranks(mean: torch.Tensor, matched: Matched, momentum: float) -> torch.Tensor:
    """Return a bank after a step as the official code moves it: every rank its own, then a mean."""
    of_ranks = []
    for group in GROUPS:
        own = mean.clone()
        for k in range(NUM_CLASSES):
            members = (matched.group_ids == group) & (matched.class_ids == k)
            if members.any():
                own[k] = momentum * own[k] + (1 - momentum) * matched.queries[members].mean(0)
        of_ranks.append(own)
    return torch.stack(of_ranks).mean(0)


def bank(**settings: object) -> VonMisesFisher:
    module = VMF.from_dict({"bank": "per_group", "warmup_steps": 50, **settings}).build(
        CHANNELS, NUM_CLASSES
    )
    assert isinstance(module, VonMisesFisher)
    return module


def test_a_bank_per_group_moves_as_the_official_ranks_do() -> None:
    module, expected = bank(momentum=0.9), torch.zeros(NUM_CLASSES, CHANNELS)
    for number in range(6):
        module.observe(step(number), StepPart(groups=GROUPS))
        expected = moved_by_ranks(expected, step(number), 0.9)
        torch.testing.assert_close(module.mean, expected)
    assert module.num_updates.tolist() == [6, 6, 6, 6, 0]


@pytest.mark.parametrize("kind", IN_PRINT)
def test_parts_of_a_step_move_a_bank_as_the_whole_step_does(kind: str) -> None:
    whole, parted = bank(bank=kind, momentum=0.9), bank(bank=kind, momentum=0.9)
    for number in range(4):
        matched = step(number)
        whole.observe(matched, StepPart(groups=GROUPS))
        for index, groups in enumerate((range(4, 5), range(5, 6), range(6, 8))):
            mine = torch.isin(matched.group_ids, torch.tensor(list(groups)))
            parted.observe(matched.take(mine), StepPart(index, 3, groups))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parted.state_dict()[name], value)


def test_groups_that_a_step_does_not_name_are_those_with_rows() -> None:
    named, unnamed = bank(), bank()
    matched = step(0)
    rows = matched.take(matched.group_ids != 7)
    named.observe(rows, StepPart(groups=range(4, 6)))
    unnamed.observe(rows, WHOLE)
    torch.testing.assert_close(unnamed.mean, named.mean)


def test_bias_correction_finds_the_mean_however_rare_a_class_is() -> None:
    """A bank that saw one mean alone holds a share of it, and the correction is that share."""
    module = bank(momentum=0.7, bias_correction=True)
    row = F.normalize(torch.ones(1, CHANNELS), dim=1)
    for number in range(8):
        groups = torch.arange(4, 5 + number % 3)
        rows = row.expand(len(groups), -1)
        classes = torch.full_like(groups, 1)
        module.observe(Matched(rows, None, classes, groups), StepPart(groups=GROUPS))
    direction, kappa, seen = module.classes()
    assert seen.tolist() == [False, True, False, False, False]
    assert module.mean[1].norm() < 0.9
    torch.testing.assert_close(direction[1], row[0])
    assert kappa.isfinite().all()


def test_no_step_of_a_bank_per_group_waits_for_the_device() -> None:
    """Tensors on "meta" have no values, so whatever asks for one raises."""
    module = bank(warmup_steps=1, freeze=False, bias_correction=True).to("meta")
    rows = torch.empty(8, CHANNELS, device="meta", requires_grad=True)
    ids = torch.empty(8, dtype=torch.long, device="meta")
    matched = Matched(rows, None, ids, ids)
    for _ in range(3):
        module.observe(matched, StepPart(groups=GROUPS))
        module(matched).backward()
    assert module.is_warm


def test_a_pooled_bank_has_the_state_of_earlier_versions() -> None:
    assert set(VMF().build(4, 2).state_dict()) == {"mean", "num_updates", "step"}
    assert VMF().bank == "pooled"


def test_concentrations_of_rare_classes_are_the_official_ones() -> None:
    """64 channels, rate 1e-4, four groups of four frames, class means of length 0.8.

    Many classes of each share stand for one whose frames are drawn again and again.
    """
    repeats = 16
    shares = torch.tensor(SHARES).repeat_interleave(repeats)
    banks = {kind: VMF(bank=kind).build(64, len(shares)) for kind in IN_PRINT}
    generator = torch.Generator().manual_seed(0)
    mean = F.one_hot(torch.tensor(0), 64) * 0.8
    num_groups = torch.full_like(shares, NUM_GROUPS)
    size = (NUM_UPDATES, NUM_GROUPS, GROUP_FRAMES, len(shares))
    has_class = (torch.rand(size, generator=generator) < shares).any(2)  # each group, each step
    for present in has_class.float().sum(1):
        banks["per_group"].move_per_group(present[:, None] * mean, present, num_groups)
        banks["pooled"].move_pooled(present[:, None] * mean, present)
    for kind, num_frames in (("per_group", GROUP_FRAMES), ("pooled", NUM_GROUPS * GROUP_FRAMES)):
        found = banks[kind].classes()[1].view(-1, repeats).mean(1)
        # A bank that starts at zero holds a share of the mean that the chance to move it decides.
        moves = 1 - (1 - torch.tensor(SHARES)) ** num_frames
        held = 1 - (1 - 1e-4 * moves) ** NUM_UPDATES
        expected = concentration(0.8 * held, 64)
        torch.testing.assert_close(found, expected, rtol=0.01, atol=0)
        assert found.tolist() == pytest.approx(IN_PRINT[kind], rel=0.01, abs=0.05)
