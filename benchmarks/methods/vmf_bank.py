"""How fast is a step of the vMF bank and its loss beside a loop over classes?

    python benchmarks/methods/vmf_bank.py [--pairs 4096 70000] [--classes 17] [--rounds 5]

The loop is the published way: per class a mask, a question whether it is empty, a mean, a running
average and a length; then, per class, a Bessel function by 64 steps of downward recursion in
double precision and the likelihood of the class's points (here with the recursion's error
mended, so that the two losses are equal). Forward and backward. One thread, processor time, best
round.
"""

import argparse
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measuring import best_of, print_ratios
from olivine.methods.losses.vmf import VMF
from olivine.methods.matched import Matched

NUM_CHANNELS, MOMENTUM, NUM_STEPS_DOWN = 64, 0.5, 64


def log_bessel(order: int, kappa: Tensor) -> Tensor:
    """Return log I_order(kappa) by downward recursion, scaled by the sum that gives exp(kappa)."""
    above = torch.zeros((), dtype=torch.double)
    here = torch.full((), 1e-200, dtype=torch.double)
    total, wanted = torch.zeros((), dtype=torch.double), here
    start = max(NUM_STEPS_DOWN, order + 33)
    for n in range(start, 0, -1):
        above, here = here, above + 2 * n / kappa * here
        total = total + 2 * here
        if n - 1 == order:
            wanted = here
    return kappa + (wanted / (total - here)).log()


class Loop:
    """One vMF per class, in a loop."""

    def __init__(self, num_classes: int):
        self.mean = torch.zeros(num_classes, NUM_CHANNELS)

    def step(self, rows: Tensor, class_ids: Tensor) -> Tensor:
        """Move the bank, then return the class-balanced negative log-likelihood."""
        losses = []
        for k in range(len(self.mean)):
            members = class_ids == k
            if members.sum() != 0:
                mean = rows.detach()[members].mean(dim=0)
                self.mean[k] = MOMENTUM * self.mean[k] + (1 - MOMENTUM) * mean
        for k in range(len(self.mean)):
            members = class_ids == k
            if members.sum() == 0:
                continue
            length = self.mean[k].norm()
            kappa = (length * (NUM_CHANNELS - length**2) / (1 - length**2)).double()
            order = NUM_CHANNELS // 2 - 1
            log_factor = (
                order * kappa.log() - (order + 1) * math.log(2 * math.pi) - log_bessel(order, kappa)
            ).float()
            cosine = rows[members] @ (self.mean[k] / length)
            losses.append((-log_factor - kappa.float() * cosine).mean())
        return torch.stack(losses).mean()


def main() -> None:
    """Check that losses and gradients are equal, then measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[4096, 70_000])
    parser.add_argument("--classes", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for num_pairs in given.pairs:
        measure(num_pairs, given.classes, given.rounds)


def measure(num_pairs: int, num_classes: int, rounds: int) -> None:
    """Print the times of one number of pairs."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, num_classes, (num_pairs,), generator=generator)
    centres = torch.randn(num_classes, NUM_CHANNELS, generator=generator)
    noise = torch.randn(num_pairs, NUM_CHANNELS, generator=generator)
    rows = F.normalize(noise + centres[classes], dim=1).requires_grad_()
    matched = Matched(rows, None, classes, torch.zeros_like(classes))
    settings = VMF(momentum=MOMENTUM, warmup_steps=0, freeze=False)
    bank, loop = settings.build(NUM_CHANNELS, num_classes), Loop(num_classes)

    def ours() -> Tensor:
        bank.observe(matched)
        return bank(matched)

    def published() -> Tensor:
        return loop.step(rows, classes)

    values, gradients = [], []
    for way in (ours, published):
        rows.grad = None
        value = way()
        value.backward()
        values.append(value.item())
        gradients.append(rows.grad)
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-9)
    print(f"\n{num_pairs} pairs, {num_classes} classes; losses and gradients are equal")

    def timed(way: Callable[[], Tensor]) -> float:
        def step() -> None:
            rows.grad = None
            way().backward()

        return best_of(rounds, step, time.process_time)

    print_ratios({"loop": timed(published), "ours": timed(ours)})


if __name__ == "__main__":
    main()
