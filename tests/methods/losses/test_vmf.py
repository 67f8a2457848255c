import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.methods.losses.vmf import VMF
from olivine.methods.losses.vmf.density import concentration, log_bessel, log_normaliser
from olivine.methods.losses.vmf.loss import class_sums, product_sums
from olivine.methods.matched import Matched


@pytest.mark.parametrize("num_channels", [2, 3, 4, 7, 16, 17, 32, 64, 129])
def test_log_bessel_agrees_with_scipy_for_every_number_of_channels(num_channels):
    order, kappa = num_channels / 2 - 1, np.geomspace(0.01, 600, 50)
    expected = np.log(scipy.special.ive(order, kappa)) + kappa
    found = log_bessel(order, torch.from_numpy(kappa)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert log_bessel(order, torch.tensor([1e-6, 1e5])).isfinite().all()  # scipy's overflows


@pytest.mark.parametrize("num_channels", [2, 3])
def test_the_normaliser_makes_the_density_integrate_to_one(num_channels):
    """On the circle and on the sphere the integral over the angle to the mean is short."""
    kappa = torch.tensor([0.5, 8.0], dtype=torch.double)
    angle = torch.linspace(0, torch.pi, 20_001, dtype=torch.double)
    measure = 2 * torch.pi * angle.sin() if num_channels == 3 else torch.full_like(angle, 2.0)
    density = (log_normaliser(kappa, num_channels)[:, None] + kappa[:, None] * angle.cos()).exp()
    torch.testing.assert_close(
        torch.trapezoid(density * measure, angle), torch.ones_like(kappa), rtol=1e-5, atol=0
    )


def matched(rows: torch.Tensor, classes: torch.Tensor) -> Matched:
    return Matched(rows, None, classes, torch.zeros_like(classes))


def unit(number: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(number, 16, generator=generator), dim=1)


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
def test_the_posterior_is_the_cross_entropy_of_the_mixture(average):
    """Against torch's own cross-entropy of log densities; a class never seen has no density."""
    settings = {"warmup_steps": 0, "freeze": False, "bias_correction": True}
    bank = VMF(form="posterior", average=average, max_concentration=9.0, **settings).build(16, 4)
    rows, classes = unit(9, 2).requires_grad_(), torch.tensor([0] * 5 + [1] * 2 + [3, IGNORE])
    bank.observe(matched(rows, classes))
    direction, kappa, seen = bank.classes()
    assert seen.tolist() == [True, True, False, True]
    assert (kappa[seen] <= 9).all()

    found = bank(matched(rows, classes))

    log_density = kappa * (rows @ direction.T) + log_normaliser(kappa, 16)
    known = classes != IGNORE
    logits = log_density.masked_fill(~seen, -torch.inf)[known]
    losses = F.cross_entropy(logits, classes[known], reduction="none")
    expected = losses.mean()
    if average == "class":
        expected = torch.stack([losses[classes[known] == k].mean() for k in (0, 1, 3)]).mean()
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, rows, retain_graph=True)
    (by_torch,) = torch.autograd.grad(expected, rows)
    torch.testing.assert_close(gradient, by_torch, atol=1e-6, rtol=1e-4)
    assert not gradient[-1].any()  # without a class


def test_classes_that_are_alike_have_a_posterior_of_chance():
    bank = VMF(form="posterior", warmup_steps=0, freeze=False, concentration=5.0).build(16, 2)
    rows = unit(1, 3).expand(6, -1)
    bank.observe(matched(rows, torch.arange(6) % 2))

    torch.testing.assert_close(
        bank(matched(rows, torch.arange(6) % 2)), torch.tensor(2.0).log(), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("form", ["likelihood", "posterior"])
def test_a_bank_that_saw_no_class_and_rows_without_one_give_zero(form):
    bank = VMF(form=form, warmup_steps=0, freeze=False).build(16, 3)
    rows, nothing = unit(4, 4).requires_grad_(), torch.full((4,), IGNORE)
    bank.observe(matched(rows, nothing))

    value = bank(matched(rows, nothing))
    value.backward()

    assert value == 0
    assert rows.grad.isfinite().all()


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


@pytest.mark.parametrize("class_sums", [class_sums, product_sums])
def test_class_sums_count_ignored_rows_nowhere(class_sums):
    rows, classes = unit(6, 5), torch.tensor([0, 2, 2, IGNORE, 0, IGNORE])
    sums, counts = class_sums(rows, classes, 3)
    assert counts.tolist() == [2, 0, 2]
    torch.testing.assert_close(sums[2], rows[1] + rows[2])


@pytest.mark.parametrize(
    ("settings", "factor"),
    [({}, 1.0), ({"concentration_scale": 0.25}, 0.25), ({"concentration_scale": 4.0}, 4.0)],
)
def test_concentration_can_be_scaled(settings, factor):
    plain, scaled = (VMF(warmup_steps=1, **given).build(16, 2) for given in ({}, settings))
    for bank in (plain, scaled):
        bank.observe(matched(unit(8, 6), torch.arange(8) % 2))
    torch.testing.assert_close(scaled.classes()[1], factor * plain.classes()[1])


def test_concentration_can_be_one_number_for_all_classes():
    bank = VMF(warmup_steps=1, concentration=20).build(16, 3)
    bank.observe(matched(unit(8, 6), torch.arange(8) % 2))
    _, kappa, seen = bank.classes()
    assert kappa.tolist() == [20.0] * 3
    assert seen.tolist() == [True, True, False]
    with pytest.raises(UserError, match="leave it at 1"):
        VMF.from_dict({"concentration": 20, "concentration_scale": 2})


def test_nothing_but_ignored_rows_is_zero_with_a_gradient():
    bank = VMF(warmup_steps=0, freeze=False).build(16, 2)
    rows, nothing = unit(4, 7).requires_grad_(), torch.full((4,), IGNORE)
    bank.observe(matched(rows.detach(), nothing))
    value = bank(matched(rows, nothing))
    value.backward()
    assert value.item() == 0.0
    assert (rows.grad == 0).all()


@pytest.mark.parametrize("average", ["class", "point"])
def test_a_class_never_seen_pulls_nothing(average):
    bank = VMF(warmup_steps=1, average=average).build(16, 3)
    rows, late = unit(4, 3).requires_grad_(), torch.tensor([0, 0, 2, IGNORE])
    for classes in (torch.zeros(4, dtype=torch.long), late):
        bank.observe(matched(rows.detach(), classes))
    bank(matched(rows, late)).backward()
    assert (rows.grad[:2].norm(dim=1) > 0).all()
    assert (rows.grad[2:] == 0).all()


def test_a_checkpoint_remembers_whether_the_bank_is_warm():
    first, second = (VMF(momentum=0.5, warmup_steps=2).build(16, 2) for _ in range(2))
    rows, classes = unit(8, 1), torch.arange(8) % 2
    for _ in range(3):
        first.observe(matched(rows, classes))
    holder = torch.nn.ModuleDict({"bank": second})
    holder.load_state_dict({f"bank.{name}": value for name, value in first.state_dict().items()})
    assert second.is_warm
    assert torch.equal(first(matched(rows, classes)), second(matched(rows, classes)))


def test_the_bank_is_watched_class_by_class():
    bank = VMF(momentum=0.5, warmup_steps=1).build(16, 3)
    for step, warm in enumerate((0.0, 1.0)):
        bank.observe(matched(unit(8, step), torch.arange(8) % 2))
        assert bank.state_metrics()["warm"] == warm
    metrics = bank.state_metrics()
    _, kappa, _ = bank.classes()
    assert metrics["kappa/1"] == kappa[1]
    assert metrics["mean_length/1"] == bank.mean[1].norm()
    assert [metrics[f"num_updates/{k}"].item() for k in range(3)] == [1, 1, 0]
    assert metrics["kappa/2"] == metrics["mean_length/2"] == 0
    assert metrics["classes_seen"] == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rows_are_summed_in_single_precision(dtype):
    rows, classes = unit(3000, 8).to(dtype), torch.arange(3000) % 2
    expected, _ = class_sums(rows.double(), classes, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for found, counts in (class_sums(rows, classes, 2), product_sums(rows.float(), classes, 2)):
            assert counts.tolist() == [1500, 1500]
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("average", ["class", "point"])
def test_no_step_waits_for_the_device(average):
    """Tensors on "meta" have no values, so whatever asks for one raises."""
    bank = VMF(warmup_steps=1, freeze=False, bias_correction=True, average=average).build(16, 3)
    bank = bank.to("meta")
    rows = torch.empty(8, 16, device="meta", requires_grad=True)
    step = matched(rows, torch.empty(8, dtype=torch.long, device="meta"))
    for _ in range(3):
        bank.observe(step)
        bank(step).backward()
        assert bank.state_metrics()["kappa/2"].shape == ()
    assert bank.is_warm
