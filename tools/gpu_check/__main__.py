"""The command: runs the parts one after another, each in a process of its own."""

import argparse
import importlib
import multiprocessing
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.gpu_check.report import (
    FAILED,
    Finding,
    Setup,
    add_line,
    failed,
    measured,
    read_lines,
    table,
    write_report,
)

# In the order of their worth, should the time not suffice. Each is a module of this package with a
# function `check`, which takes a Setup and yields findings.
PARTS = {
    "operations": "CUDA against float64 on the CPU: sparse networks, voxels, samplers, losses",
    "steps": "CUDA against float64 on the CPU: whole steps of training, and an evaluation",
    "repeats": "two runs of one seed",
    "unet": "U-Net forwards and backwards, by engine",
    "step_time": "a whole step by part: idle share, launches, waits, peak memory",
    "labelling": "Grounded-SAM at real sizes through the label job's own batching",
    "teacher": "the image network",
    "loading": "the loader with 0 to 16 processes",
    "peaks": "matrix products and copies",
}


def main(words: list[str] | None = None) -> int:
    """Run the parts that were named, or all; return 1 if one failed."""
    given = parse(words)
    findings: list[Finding] = []
    began_s = time.monotonic()
    lines = given.out.with_suffix(".jsonl")
    lines.unlink(missing_ok=True)
    lines.parent.mkdir(parents=True, exist_ok=True)
    lines.touch()
    machine = machine_of(given.device)
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    for part in given.parts or PARTS:
        part_began_s = time.monotonic()
        run_part(part, given, lines)
        seconds = time.monotonic() - part_began_s
        add_line(lines, measured(part, "time of the part", f"{seconds:.1f} s", seconds=seconds))
        findings = read_lines(lines)
        write_report(given.out, machine, findings)
        print(table([f for f in findings if f.part == part], given.all), flush=True)
    num_failed = sum(finding.verdict == FAILED for finding in findings)
    print(
        f"{num_failed} failed of {len(findings)}, {time.monotonic() - began_s:.0f} s: {given.out}"
    )
    return 1 if num_failed else 0


def parse(words: list[str] | None) -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them by default")
    parser.add_argument("--device", default="cuda", help="cpu for a trial without a GPU")
    parser.add_argument("--keyframe", type=Path, action="append", default=[], dest="keyframes")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--small", action="store_true", help="sizes that a CPU computes quickly")
    parser.add_argument("--all", action="store_true", help="list what passed, too")
    parser.add_argument("--limit-s", type=float, default=120.0, help="seconds of one part")
    given = parser.parse_args(words)
    for part in given.parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}; there are {', '.join(PARTS)}")
    return given


def run_part(part: str, given: argparse.Namespace, lines: Path) -> None:
    """Run one part in a process of its own: a fault of CUDA spoils the process it happens in."""
    import torch  # noqa: F401 # once, here: forked processes have it already

    # The folder is this process's, so that it goes even when the part's process is killed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        process = multiprocessing.get_context("fork").Process(
            target=_in_process, args=(part, given, lines, Path(scratch))
        )
        process.start()
        process.join(given.limit_s)
        is_late = process.is_alive()
        if is_late:
            process.kill()
            process.join()
    if is_late:
        add_line(lines, failed(part, "the part", f"not done after {given.limit_s:g} s"))
    elif process.exitcode:
        add_line(lines, failed(part, "the part", f"its process ended with {process.exitcode}"))


def _in_process(part: str, given: argparse.Namespace, lines: Path, scratch: Path) -> None:
    began_s = time.monotonic()
    ends_s = began_s + given.limit_s
    setup = Setup(given.device, given.small, tuple(given.keyframes), scratch, ends_s)
    for finding in findings_of(part, setup):
        after_s = round(time.monotonic() - began_s, 2)
        add_line(lines, replace(finding, after_s=after_s))


def findings_of(part: str, setup: Setup) -> Iterator[Finding]:
    """Yield what a part finds; an exception is a finding too."""
    try:
        yield from importlib.import_module(f"tools.gpu_check.{part}").check(setup)
    except Exception as error:
        traceback.print_exc()
        yield failed(part, "the part", f"{type(error).__name__}: {error}".splitlines()[0])


def machine_of(device: str) -> dict[str, Any]:
    """Return what the figures depend on; CUDA is not started in this process, which forks."""
    import torch

    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "date": time.strftime("%Y-%m-%d"),
    }
    if device.startswith("cuda"):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            machine["card"] = pool.apply(_card)
    return machine


def _card() -> str:
    import torch

    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


if __name__ == "__main__":
    sys.exit(main())
