"""The vMF bank against scipy's values in method.md §4.3, and its average's start."""

import pytest
import torch

from olivine.methods.losses.vmf import VMF
from olivine.methods.losses.vmf.density import concentration, log_bessel, log_normaliser
from olivine.methods.matched import Matched

TABLE = [  # mean length, kappa, log I_31(kappa), log K_64(kappa), length of an official bank, kappa
    (0.1, 6.46, -41.403, 40.44, 0.063, 4.06),
    (0.3, 21.07, -1.791, 37.46, 0.190, 12.58),
    (0.5, 42.50, 28.731, 28.69, 0.316, 22.44),
    (0.7, 87.17, 78.533, 1.16, 0.443, 35.11),
    (0.8, 140.80, 133.997, -39.44, 0.506, 43.32),
    (0.9, 299.32, 293.945, -176.01, 0.569, 53.57),
    (0.95, 614.80, 609.885, -469.64, 0.601, 59.78),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row[0]))
def test_the_published_table(row):
    length, kappa, bessel, normaliser, held, held_kappa = row
    found = concentration(torch.tensor([length], dtype=torch.double), 64)
    assert found.item() == pytest.approx(kappa, abs=0.005)
    assert log_bessel(31.0, found).item() == pytest.approx(bessel, abs=0.0006)
    assert log_normaliser(found, 64).item() == pytest.approx(normaliser, abs=0.006)
    kept = (1 - 0.9999**10_001) * length
    assert kept == pytest.approx(held, abs=0.0006)
    official = concentration(torch.tensor([kept], dtype=torch.double), 64)
    assert official.item() == pytest.approx(held_kappa, abs=0.02)


@pytest.mark.parametrize(("share", "expected"), [(1, 0.6322), (2, 0.39), (4, 0.22), (10, 0.095)])
def test_a_class_in_every_nth_step_has_forgotten_the_start_by_one_minus_exp(share, expected):
    bank = VMF(warmup_steps=20_000).build(2, 1)
    one = torch.zeros(1, dtype=torch.long)
    present = Matched(torch.tensor([[0.6, 0.8]]), None, one, one)
    for _ in range(0, 10_001, share):
        bank.observe(present)
    assert bank.mean.norm().item() == pytest.approx(expected, abs=1e-4 if share == 1 else 4e-3)
