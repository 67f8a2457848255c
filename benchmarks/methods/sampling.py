"""How fast is a density-and-category-aware draw beside the direct one, with equal weights?

    python benchmarks/methods/sampling.py [--data ../shared/data] [--pairs 70000] [--rounds 5]

The direct way is the published one: a Gaussian kernel between each distinct range bin and every
point, then torch.multinomial. Ranges are those of the pairs of real keyframes, repeated up to the
number of pairs of a batch of four frames; classes are drawn with frequencies from 40 % to 0.4 %.
One thread, processor time, best round.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.keyframes import KeyframeReader, open_keyframes
from benchmarks.measuring import best_of, print_ratios
from olivine.data.batch import PairTable
from olivine.methods.samplers.density_category import DensityCategory

SAMPLER = DensityCategory(num_pairs=4096).build()


def ranges(data: Path) -> Iterator[np.ndarray]:
    """Yield the horizontal range of every pair of each keyframe."""
    with tempfile.TemporaryDirectory() as cache:
        for _, frames in open_keyframes(data, Path(cache)):
            sample = KeyframeReader(frames)(0)
            yield sample.range_m[sample.pairs.point_index]


def table(data: Path, num_pairs: int) -> tuple[PairTable, int]:
    """Return the pairs and how many of them are real, before they are repeated."""
    real = np.concatenate(list(ranges(data)))
    range_m = torch.from_numpy(np.resize(real, num_pairs)).float()
    frequency = 0.73 ** torch.arange(16, dtype=torch.double)
    generator = torch.Generator().manual_seed(0)
    classes = frequency.multinomial(num_pairs, replacement=True, generator=generator)
    rows = torch.arange(num_pairs)
    pixels = torch.zeros(num_pairs, 3, dtype=torch.long)
    return PairTable(rows, pixels, classes, range_m, torch.zeros_like(rows)), len(real)


def direct_weights(pairs: PairTable) -> Tensor:
    """Return 1 / (density x class size) with the kernel of every bin and every point."""
    bins = (pairs.range_m / SAMPLER.range_step_m).floor()
    width = 1.06 * bins.std() * len(bins) ** -0.2
    distinct, place = bins.unique(return_inverse=True)
    kernel = torch.exp(-0.5 * ((distinct[:, None] - bins[None, :]) / width) ** 2)
    density = kernel.sum(dim=1) / (len(bins) * width * (2 * torch.pi) ** 0.5)
    return 1 / (density[place] * pairs.class_ids.bincount()[pairs.class_ids])


def main() -> None:
    """Check that weights are equal, then measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pairs", type=int, default=70_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pairs, num_real = table(given.data, given.pairs)
    print(f"{len(pairs)} pairs, {num_real} of them real and then repeated; 4096 are drawn")
    ours, direct = SAMPLER.log_weights(pairs), direct_weights(pairs).log()
    error = ((ours - direct).exp() - 1).abs().max().item()
    assert error < 1e-4, f"weights differ by {error:.1e}"
    print(f"weights are equal: largest relative difference {error:.1e} in single precision")
    generator = torch.Generator().manual_seed(0)
    seconds = {
        "direct": best_of(
            given.rounds,
            lambda: direct_weights(pairs).multinomial(SAMPLER.num_pairs, generator=generator),
            time.process_time,
        ),
        "ours": best_of(given.rounds, lambda: SAMPLER(pairs, generator), time.process_time),
    }
    print_ratios(seconds)


if __name__ == "__main__":
    main()
