"""Comparisons of one computation at two places: a device, and the CPU in double precision.

A case computes named tensors at a place. Floating-point tensors are compared by the norm of their
difference over the norm of the reference; integers and truth values must be equal.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from olivine.core.devices import Precision, autocast, tf32_products
from tools.gpu_check.report import Finding, Setup, compared, failed

Put = TypeVar("Put")
# Rounding of one product's factors is 2^-24, 2^-9 and 2^-12 of their size; sums of hundreds of
# products and norms after them lose one digit more.
BOUNDS: Mapping[Precision, float] = {"float32": 2e-5, "bfloat16": 2e-2, "float16": 5e-3}


@dataclass(frozen=True)
class Place:
    """Where and how a case computes."""

    device: torch.device
    dtype: torch.dtype = torch.float32  # of weights and inputs
    precision: Precision = "float32"  # of products, by autocast

    def put(self, value: Put) -> Put:
        """Return a tensor, network or record of tensors on the device, with its floats in `dtype`.

        A network is as it was made, unless the place is in double precision.
        """
        moved: Any = value
        if isinstance(value, nn.Module):
            moved = value.to(self.device)
            moved = moved.double() if self.dtype == torch.float64 else moved
        elif isinstance(value, Tensor):
            dtype = self.dtype if value.is_floating_point() else value.dtype
            moved = value.to(self.device, dtype)
        elif is_dataclass(value) and not isinstance(value, type):
            items = {n: self.put(x) for n, x in vars(value).items() if not n.startswith("_")}
            moved = replace(value, **{n: x for n, x in items.items() if x is not getattr(value, n)})
        return moved

    def leaf(self, value: Tensor) -> Tensor:
        """Return a tensor at this place that takes a gradient."""
        return self.put(value).detach().requires_grad_()

    def autocast(self) -> torch.autocast:
        """Return the context of the networks' products."""
        return autocast(self.device, self.precision)


REFERENCE = Place(torch.device("cpu"), torch.float64)
Computed = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One computation, and the largest errors that it may have, by the precision of products.

    `reference` is where the other result is computed. A bound of one output, by its name, is taken
    instead of the case's.
    """

    name: str
    compute: Callable[[Place], Computed]
    bounds: Mapping[Precision, float] = field(default_factory=lambda: {"float32": 2e-5})
    of_output: Mapping[str, Mapping[Precision, float]] = field(default_factory=dict)
    reference: Place = REFERENCE

    def bound(self, output: str, precision: Precision) -> float:
        """Return the largest error of an output."""
        return self.of_output.get(output, self.bounds).get(precision, self.bounds[precision])


def every_precision(float32: float = BOUNDS["float32"], times: float = 1.0) -> dict:
    """Return bounds for float32, and those of half precision `times` the usual ones."""
    half = {name: times * bound for name, bound in BOUNDS.items() if name != "float32"}
    return {"float32": float32, **half}


def relative_error(found: Tensor, reference: Tensor) -> float:
    """Return ‖found - reference‖ / ‖reference‖, or ‖found‖ if the reference is zero.

    A shape that differs, or a number that is not finite in one of them alone, gives NaN.
    """
    if found.shape != reference.shape:
        return float("nan")
    found, reference = found.detach().cpu().double(), reference.detach().cpu().double()
    same = found == reference  # also where both are infinite
    difference = torch.where(same, 0.0, found - reference).norm()
    size = reference.where(reference.isfinite(), torch.zeros_like(reference)).norm()
    return float(difference / size if size else difference)


def precisions_of(case: Case, setup: Setup) -> list[Precision]:
    """Return the precisions that a case has bounds for.

    Of small sizes float16 is left out: most CPUs compute it a hundred times slower.
    """
    return [name for name in case.bounds if not (setup.is_small and name == "float16")]


def findings(part: str, cases: Iterable[Case], setup: Setup) -> Iterator[Finding]:
    """Yield the verdict on every output of every case, in every precision."""
    for case in cases:
        try:
            reference = case.compute(case.reference)
        except Exception as error:
            yield failed(part, case.name, f"the reference: {sentence(error)}")
            continue
        for precision in precisions_of(case, setup):
            place = Place(torch.device(setup.device), precision=precision)
            name = case.name if precision == "float32" else f"{case.name}, {precision}"
            try:
                with tf32_products(allowed=False):  # as in training
                    found = case.compute(place)
                yield from _verdicts(part, name, (found, reference), case, precision)
            except Exception as error:
                yield failed(part, name, sentence(error))


def _verdicts(
    part: str, name: str, results: tuple[Computed, Computed], case: Case, precision: Precision
) -> Iterator[Finding]:
    found, reference = results
    for output, wanted in reference.items():
        what = f"{name}: {output}"
        if wanted.is_floating_point():
            error = relative_error(found[output], wanted)
            yield compared(part, what, error, case.bound(output, precision))
        else:
            yield equal(part, what, found[output], wanted)


def equal(part: str, what: str, found: Tensor, wanted: Tensor) -> Finding:
    """Return the verdict on integers or truth values, of which none may differ."""
    if found.shape != wanted.shape:
        return failed(part, what, f"shape {tuple(found.shape)}, not {tuple(wanted.shape)}")
    num_other = int((found.detach().cpu() != wanted.detach().cpu()).sum())
    finding = compared(part, what, float(num_other), 0.0)
    return replace(finding, figure=f"{num_other} of {wanted.numel()} differ")


def random_rows(*shape: int, seed: int) -> Tensor:
    """Return normal random numbers, the same on every machine."""
    return _drawn(shape, seed).clone()


@lru_cache(maxsize=128)
def _drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return the numbers of `random_rows`, which every precision takes again."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sentence(error: Exception) -> str:
    """Return an error's type and the first line of its text."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def gradients(value: Tensor, leaves: Mapping[str, Tensor], seed: int = 99) -> dict[str, Tensor]:
    """Return the gradients of leaves; a value of many numbers is first weighted at random."""
    if value.ndim:
        weights = random_rows(*value.shape, seed=seed).to(value.device)
        value = (value.to(torch.promote_types(value.dtype, torch.float32)) * weights).sum()
    found = torch.autograd.grad(value, list(leaves.values()))
    return {f"gradient of {name}": each for name, each in zip(leaves, found, strict=True)}
