"""What do InfoNCE and SupCon cost, as one matrix of logits and tile by tile?

    python benchmarks/methods/objective_cost.py [--pairs 4096 16384 65536] [--picture PNG]

Forward and backward of both losses on 64 channels and 16 classes. Each point has a process of
its own; memory is the peak above what the rows take. One matrix is left out where it would need
more than `--limit-gb`. One thread, processor time. Linux only; 65,536 pairs take two minutes.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.measuring import answer_of, status_bytes
from olivine.methods.losses import log_sum_exp as contrast
from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.losses.sup_con.loss import sup_con

WAYS = ("one matrix", "tiles")
COPIES = 8  # single-precision matrices of logits alive at the peak, for the limit
Point = dict[str, float]


def measure(way: str, num_pairs: int) -> Point:
    """Return seconds, peak bytes, the losses' sum and the size of its gradient."""
    torch.set_num_threads(1)
    if way == "one matrix":
        contrast.TILE_SIDE["cpu"] = num_pairs
    generator = torch.Generator().manual_seed(0)
    queries, keys = (
        F.normalize(torch.randn(num_pairs, 64, generator=generator), dim=1).requires_grad_()
        for _ in range(2)
    )
    classes = torch.randint(0, 16, (num_pairs,), generator=generator)
    before, began = status_bytes("VmRSS"), time.process_time()
    value = info_nce(queries, keys, 0.07) + sup_con(queries, keys, classes, 0.07)
    value.backward()
    assert queries.grad is not None
    return {
        "seconds": time.process_time() - began,
        "bytes": status_bytes("VmHWM") - before,
        "value": value.item(),
        "gradient": queries.grad.norm().item(),
    }


def sweep(numbers: list[int], limit_gb: float) -> dict[str, dict[int, Point]]:
    """Measure every point that fits, and say so."""
    found: dict[str, dict[int, Point]] = {way: {} for way in WAYS}
    for num_pairs in numbers:
        for way in WAYS:
            wanted_gb = COPIES * 4 * num_pairs**2 / 1e9
            if way == "one matrix" and wanted_gb > limit_gb:
                print(f"  {num_pairs:6} {way:10}  left out: about {wanted_gb:.0f} GB")
                continue
            point = answer_of(__file__, "--way", way, "--pairs", str(num_pairs))
            found[way][num_pairs] = point
            print(
                f"  {num_pairs:6} {way:10} {point['seconds']:8.2f} s "
                f"{point['bytes'] / 1e6:8.0f} MB",
                flush=True,
            )
    return found


def draw(found: dict[str, dict[int, Point]], path: Path) -> None:
    """Write time and memory over the number of pairs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    columns = (("seconds", 1.0, "forward and backward (s)"), ("bytes", 1e6, "peak memory (MB)"))
    for axis, (name, unit, title) in zip(axes, columns, strict=True):
        for way, marker in zip(WAYS, "so", strict=True):
            numbers = sorted(found[way])
            values = [found[way][number][name] / unit for number in numbers]
            axis.plot(numbers, values, marker=marker, label=way)
        axis.set(xscale="log", yscale="log", xlabel="pairs", ylabel=title)
        ticks = sorted({number for points in found.values() for number in points})
        axis.set_xticks(ticks, [f"{number:,}" for number in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run every point, check that the ways agree, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--limit-gb", type=float, default=10.0)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--way", choices=WAYS, help="measure this one here and print JSON")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given.way, given.pairs[0])))
        return
    print("InfoNCE and SupCon, forward and backward")
    found = sweep(given.pairs, given.limit_gb)
    dense, tiles = (found[way] for way in WAYS)
    for number in dense:
        for name in ("value", "gradient"):
            difference = abs(dense[number][name] - tiles[number][name])
            assert difference < 1e-4 * dense[number][name], f"{name}s differ"
        time_ratio, memory_ratio = (
            dense[number][name] / tiles[number][name] for name in ("seconds", "bytes")
        )
        print(f"  {number} pairs: tiles take {time_ratio:.1f} x less time, ", end="")
        print(f"{memory_ratio:.1f} x less memory")
    if given.picture:
        draw(found, given.picture)


if __name__ == "__main__":
    main()
