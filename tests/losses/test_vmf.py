"""The vMF bank against METHOD §4.3's table, computed there with scipy."""

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F

from olivine.losses.vmf import VMF, class_sums, concentration, log_bessel, log_normaliser
from olivine.tensors import Matched
from olivine.types import IGNORE

TABLE = [  # mean length, kappa, log I_31(kappa), log K_64(kappa)
    (0.1, 6.46, -41.403, 40.44),
    (0.3, 21.07, -1.791, 37.46),
    (0.5, 42.50, 28.731, 28.69),
    (0.7, 87.17, 78.533, 1.16),
    (0.8, 140.80, 133.997, -39.44),
    (0.9, 299.32, 293.945, -176.01),
    (0.95, 614.80, 609.885, -469.64),
]


@pytest.mark.parametrize(("length", "kappa", "bessel", "normaliser"), TABLE)
def test_the_published_table(length, kappa, bessel, normaliser):
    found = concentration(torch.tensor([length], dtype=torch.double), 64)
    assert found.item() == pytest.approx(kappa, abs=0.005)
    assert log_bessel(31.0, found).item() == pytest.approx(bessel, abs=0.002)
    assert log_normaliser(found, 64).item() == pytest.approx(normaliser, abs=0.01)


def test_log_bessel_agrees_with_scipy_and_survives_where_it_overflows():
    kappa = np.geomspace(0.05, 600, 50)
    expected = np.log(scipy.special.ive(31, kappa)) + kappa
    found = log_bessel(31.0, torch.from_numpy(kappa)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert log_bessel(31.0, torch.tensor([1e5])).isfinite().all()


def matched(rows: torch.Tensor, classes: torch.Tensor) -> Matched:
    return Matched(rows, None, classes, torch.zeros_like(classes))


def unit(number: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(number, 16, generator=generator), dim=1)


def test_the_official_average_has_forgotten_its_start_by_0_6322():
    bank = VMF(warmup_steps=20_000).build(2, 1)
    row = torch.tensor([[0.6, 0.8]])
    one = matched(row, torch.zeros(1, dtype=torch.long))
    for _ in range(10_001):
        bank.observe(one)
    assert bank.mean.norm().item() == pytest.approx(0.6322, abs=1e-4)


def test_bias_correction_gives_the_mean_itself():
    bank = VMF(bias_correction=True, warmup_steps=0, freeze=False).build(16, 3)
    rows, classes = unit(30, 0), torch.arange(30) % 2
    bank.observe(matched(rows, classes))
    direction, kappa, seen = bank.classes()
    for k in (0, 1):
        mean = rows[classes == k].mean(0)
        torch.testing.assert_close(direction[k], F.normalize(mean, dim=0))
        torch.testing.assert_close(kappa[k], concentration(mean.norm()[None], 16)[0])
    assert seen.tolist() == [True, True, False]


def test_warm_up_is_silent_then_the_bank_freezes_and_pulls():
    bank = VMF(momentum=0.5, warmup_steps=2).build(16, 2)
    rows, classes = unit(8, 1).requires_grad_(), torch.arange(8) % 2
    values = []
    for _ in range(4):
        bank.observe(matched(rows, classes))
        values.append(bank(matched(rows, classes)))
    assert [float(v.detach()) for v in values[:2]] == [0.0, 0.0]
    frozen = bank.mean.clone()
    bank.observe(matched(-rows.detach(), classes))
    assert torch.equal(bank.mean, frozen)
    values[3].backward()
    direction, _, _ = bank.classes()
    pull = -(rows.grad * direction[classes]).sum(1) / rows.grad.norm(dim=1)
    torch.testing.assert_close(pull, torch.ones(8))  # straight towards the class's direction


@pytest.mark.parametrize("average", ["class", "point"])
def test_the_loss_is_the_negative_log_density(average):
    bank = VMF(warmup_steps=0, freeze=False, bias_correction=True, average=average).build(16, 2)
    rows, classes = unit(9, 2), torch.tensor([0] * 7 + [1] * 2)
    bank.observe(matched(rows, classes))
    direction, kappa, _ = bank.classes()
    log_k = [7 * np.log(k) - 8 * np.log(2 * np.pi) - np.log(scipy.special.iv(7, k)) for k in kappa]
    losses = torch.tensor(
        [-log_k[c] - kappa[c] * (r @ direction[c]) for r, c in zip(rows, classes, strict=True)]
    )
    expected = losses.mean() if average == "point" else (losses[:7].mean() + losses[7:].mean()) / 2
    assert bank(matched(rows, classes)).item() == pytest.approx(expected.item(), rel=1e-3)


def test_a_class_never_seen_is_masked_not_nan():
    bank = VMF(warmup_steps=1).build(16, 3)
    seen, late = torch.zeros(4, dtype=torch.long), torch.tensor([0, 0, 2, IGNORE])
    for classes in (seen, late):
        bank.observe(matched(unit(4, 3), classes))
    both, known = bank(matched(unit(4, 3), late)), bank(matched(unit(4, 3)[:2], late[:2]))
    torch.testing.assert_close(both, known)


def test_concentration_can_be_capped():
    bank = VMF(warmup_steps=0, freeze=False, bias_correction=True, max_concentration=5.0)
    module = bank.build(16, 1)
    module.observe(matched(unit(1, 4).expand(5, 16), torch.zeros(5, dtype=torch.long)))
    assert module.classes()[1].item() == 5.0


def test_class_sums_count_ignored_rows_nowhere():
    rows, classes = unit(6, 5), torch.tensor([0, 2, 2, IGNORE, 0, IGNORE])
    sums, counts = class_sums(rows, classes, 3)
    assert counts.tolist() == [2, 0, 2]
    torch.testing.assert_close(sums[2], rows[1] + rows[2])
