"""What does a step of OLIVINE's pretraining cost as its work grows, and what is the bottleneck?

    python benchmarks/training/step_cost.py [--frames 1 2 4 8] [--sizes 0.1,1,0.1 0.05,0.5,0.05]
        [--rounds 1] [--threads 2] [--device cpu] [--recompute] [--picture PNG]

The whole step of the recipe `olivine`: loading, the dilated ResNet-50 on six images of 224 x 416
per frame, MinkUNet-34, the three terms on 4096 pairs per contrast group of 4 frames, SGD. Frames
are the real keyframes of `--data` in turn, each time with other draws of the recipe's
augmentations; label maps are random blocks and weights are random. The vMF bank learns and its
loss is on, which is its dearest state. Sizes are of cylindrical voxels: metres, degrees, metres.

Every number of frames and size has a process of its own, so that peak memory is its own: the
process's resident memory, on a GPU what tensors had there. It warms up on small images and few
voxels, then takes the step that counts. Settings take turns, and of each the best of `--rounds`
counts, so that a spell of other load hits none for good. Loading is what one loader process does,
with one thread. One thread is measured by the processor's time, which other load on the machine
lengthens little; more threads, and a GPU, by the clock. The teacher's work is the same at every
size of voxels, so what its times differ by is the noise. About twelve minutes a round on two idle
cores, most of them the teacher's.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.training.marked_step import PARTS
from benchmarks.training.step_parts import add_options, parse_size
from olivine.results.colours import PALETTE
from olivine.results.figures import plain, write_figure

STYLES = ("-", "--", ":", "-.")  # of lines, by voxel size
MIN_SHARE = 1  # per cent of the step, for a part whose growth is worth a word

Size = tuple[float, ...]
Point = dict[str, Any]
Found = dict[Size, dict[int, Point]]


def sweep(given: argparse.Namespace) -> Found:
    """Measure every setting in a process of its own, and print it."""
    found: Found = {size: {} for size in given.sizes}
    columns = "".join(f"{part:>16}" for part in (*PARTS, "whole step"))
    print(f"{clock(given)} in seconds\nframes    voxels{columns}  memory in GB, highest in")
    for _ in range(given.rounds):
        for size in given.sizes:
            print(f"{title(size)}:")
            for num_frames in sorted(set(given.frames)):
                point = measured(given, num_frames, size)
                if point is None:
                    continue
                best = found[size].setdefault(num_frames, point)
                if total_s(point["seconds"]) < total_s(best["seconds"]):
                    found[size][num_frames] = point
                if given.numbers:
                    kept = {name(size): points for size, points in found.items()}
                    given.numbers.write_text(json.dumps(kept))
    return found


def measured(given: argparse.Namespace, num_frames: int, size: Size) -> Point | None:
    """Return what one setting costs, and print it; None, and why, if it fails."""
    setting = [f"--frames={num_frames}", f"--size={name(size)}", *common(given)]
    command = [sys.executable, str(Path(__file__).with_name("step_parts.py")), *setting]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if run.returncode:
        print(f"{num_frames:6}  left out: its process ended with code {run.returncode}")
        return None
    point = json.loads(run.stdout)
    seconds = [*point["seconds"].values(), total_s(point["seconds"])]
    cells = "".join(f"{value:16.2f}" for value in seconds)
    memory = f"{point['peak_bytes'] / 1e9:11.2f}, {point['peak_part']}"
    print(f"{num_frames:6}{point['num_voxels']:10,}{cells}{memory}", flush=True)
    return point


def common(given: argparse.Namespace) -> list[str]:
    """Return the options that all settings share."""
    names = ("data", "threads", "device")
    words = [f"--{name}={getattr(given, name)}" for name in names]
    return [*words, "--recompute"] if given.recompute else words


def recalled(path: Path) -> Found:
    """Return the numbers that an earlier call kept."""
    return {
        parse_size(size): {int(number): point for number, point in points.items()}
        for size, points in json.loads(path.read_text()).items()
    }


def clock(given: argparse.Namespace) -> str:
    """Return what time is measured."""
    alone = given.device == "cpu" and given.threads == 1
    return "processor time, one thread" if alone else f"time on {given.device}"


def total_s(seconds: dict[str, float]) -> float:
    """Return the time of the whole step."""
    return sum(seconds.values())


def name(size: Size) -> str:
    """Return a size as the command line takes it."""
    return ",".join(f"{number:g}" for number in size)


def title(size: Size) -> str:
    """Return the name of a voxel size."""
    rho_m, phi_degrees, z_m = size
    return f"{rho_m:g} m, {phi_degrees:g}°, {z_m:g} m"


def voxels_per_frame(points: dict[int, Point]) -> float:
    """Return how many voxels a frame of the largest batch has."""
    return points[max(points)]["num_voxels"] / max(points)


def line(points: dict[int, Point], value: Callable[[Point], float]) -> tuple[float, float]:
    """Return the slope per frame and the value at no frames, by least squares."""
    slope, start = np.polyfit(list(points), [value(point) for point in points.values()], 1)
    return float(slope), float(start)


def noise(found: Found) -> float:
    """Return by what share the teacher's times differ at most, over sizes and of equal frames."""
    apart = [0.0]
    for num_frames in next(iter(found.values())):
        same = [points[num_frames] for points in found.values() if num_frames in points]
        times_s = [point["seconds"]["teacher"] for point in same]
        apart.append(max(times_s) / min(times_s) - 1)
    return max(apart)


def report(size: Size, points: dict[int, Point], share_of_noise: float) -> None:
    """Print shares and slopes of one voxel size, and name the first bottleneck."""
    fewest, most = min(points), max(points)
    last = points[most]["seconds"]
    step_s = total_s(last)
    shares = {part: 100 * last[part] / step_s for part in PARTS}
    step_slope, _ = line(points, lambda point: total_s(point["seconds"]))
    slopes, growths = {}, {}
    print(f"\n{title(size)}, {voxels_per_frame(points):,.0f} voxels a frame")
    for part in PARTS:
        first_s = points[fewest]["seconds"][part]
        slopes[part], _ = line(points, lambda point, part=part: point["seconds"][part])
        growths[part] = last[part] / first_s
        print(
            f"  {part:15} {shares[part]:5.1f} % of the step at {most} frames, "
            f"{slopes[part]:6.2f} s per frame, {growths[part]:4.1f} times its time at {fewest}"
        )
    largest, second = sorted(PARTS, key=lambda part: -last[part])[:2]
    steepest = max(slopes, key=lambda part: slopes[part])
    counted = {part: growths[part] for part in PARTS if shares[part] > MIN_SHARE}
    fastest = max(counted, key=lambda part: counted[part])
    in_proportion = counted[fastest] <= most / fewest * (1 + share_of_noise)
    print(
        f"  first bottleneck: {largest}, {shares[largest]:.0f} % of {step_s:.1f} s, then "
        f"{second}, {shares[second]:.0f} %\n"
        f"  a further frame costs {step_slope:.2f} s, most of it in {steepest} "
        f"({slopes[steepest]:.2f} s)\n"
        f"  of the parts above {MIN_SHARE} %, {fastest} grows fastest: "
        f"{counted[fastest]:.1f} times for {most / fewest:.1f} times the frames"
        f"{', which is in proportion but for noise' if in_proportion else ''}"
    )
    memory_slope, memory_start = line(points, lambda point: point["peak_bytes"] / 1e9)
    there = points[most]["device_bytes"] / 1e9
    print(
        f"  memory: {memory_start:.2f} GB and {memory_slope:.2f} GB per frame, highest in "
        f"{points[most]['peak_part']}; by that line this device's {there:.0f} GB hold "
        f"{max(0, int((there - memory_start) / memory_slope))} frames"
    )


def draw(found: Found, clock_name: str, path: Path) -> None:
    """Write time by part and peak memory over the number of frames."""
    figure = Figure(figsize=(8.4, 4.0), layout="tight")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    styles = dict(zip(found, STYLES, strict=False))
    draw_time(left, found, styles, clock_name)
    draw_memory(right, found, styles)
    frames = sorted({number for points in found.values() for number in points})
    for axis in (left, right):
        axis.set_xlabel("frames in a batch")
        axis.set_xticks(frames, [str(number) for number in frames])
        axis.minorticks_off()
        axis.grid(color="#e6e6e6", linewidth=0.8)
        plain(axis)
    write_figure(figure, path)


def draw_memory(axis: Axes, found: Found, styles: dict[Size, str]) -> None:
    """Draw a line per size, with its name and slope at its end."""
    ends = {}
    for size, points in found.items():
        memory_gb = [point["peak_bytes"] / 1e9 for point in points.values()]
        axis.plot(list(points), memory_gb, styles[size], color="black", marker="o", markersize=4)
        ends[size] = memory_gb[-1]
    axis.set_ylim(0)
    axis.set(ylabel="peak memory (GB)")
    order = sorted(ends, key=lambda size: ends[size])
    heights = spread([ends[size] for size in order], 0.12 * axis.get_ylim()[1])
    for size, height in zip(order, heights, strict=True):
        slope, _ = line(found[size], lambda point: point["peak_bytes"] / 1e9)
        text = f"{title(size)}\n{slope:.2f} GB per frame"
        axis.text(1.03 * max(found[size]), height, text, va="center", fontsize=8)


def draw_time(axis: Axes, found: Found, styles: dict[Size, str], clock_name: str) -> None:
    """Draw a line per part and size, both axes by powers; names stand at the first size's ends."""
    axis.set(xscale="log", yscale="log", ylabel=f"{clock_name} (s)")
    colours = dict(zip(("whole step", *PARTS), ("#000000", *PALETTE[:6]), strict=True))
    ends = {}
    for size, points in found.items():
        for part, colour in colours.items():
            values = []
            for point in points.values():
                seconds = point["seconds"]
                values.append(total_s(seconds) if part == "whole step" else seconds[part])
            mark = {"marker": "o", "markersize": 3.5, "linewidth": 1.6}
            axis.plot(list(points), values, styles[size], color=colour, **mark)
            ends.setdefault(part, values[-1])
    last = max(map(max, found.values()))
    low, high = np.log(axis.get_ylim())
    order = sorted(ends, key=lambda part: ends[part])
    heights = spread([float(np.log(ends[part])) for part in order], 0.062 * (high - low))
    for part, height in zip(order, heights, strict=True):
        share = "" if part == "whole step" else f", {100 * ends[part] / ends['whole step']:.1f} %"
        place = {"va": "center", "fontsize": 8, "color": colours[part]}
        axis.text(last * 1.08, np.exp(height), f"{part}, {ends[part]:.3g} s{share}", **place)
    told = " (figures are of these)"
    for size, points in found.items():
        label = f"{title(size)}: {voxels_per_frame(points):,.0f} voxels a frame{told}"
        told = ""
        axis.plot([], [], styles[size], color="#555555", label=label)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))


def spread(heights: list[float], gap: float) -> list[float]:
    """Return the heights, in order, moved apart until neighbours are a gap from each other."""
    moved = list(heights)
    for _ in range(100):
        for i in range(1, len(moved)):
            short = gap - (moved[i] - moved[i - 1])
            if short > 0:
                moved[i - 1] -= short / 2
                moved[i] += short / 2
    return moved


def main() -> None:
    """Run every setting, print, name the bottleneck and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 2, 4, 8])
    sizes = [(0.1, 1.0, 0.1), (0.05, 0.5, 0.05)]
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=sizes)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--numbers", type=Path, help="keep them here, or report those here")
    parser.add_argument("--rounds", type=int, default=1)
    add_options(parser)
    given = parser.parse_args()
    if len(set(given.frames)) < 2:
        parser.error("--frames takes two numbers at least, to see how cost grows")
    if len(given.sizes) > len(STYLES):
        parser.error(f"--sizes takes {len(STYLES)} at most, so that their lines can be told apart")
    found = recalled(given.numbers) if given.numbers and given.numbers.exists() else sweep(given)
    found = {size: points for size, points in found.items() if len(points) > 1}
    for size, points in found.items():
        report(size, points, noise(found))
    if len(found) > 1:
        print(f"\nnoise: the teacher's times differ by up to {100 * noise(found):.0f} % over sizes")
    if given.picture and found:
        draw(found, clock(given), given.picture)


if __name__ == "__main__":
    main()
