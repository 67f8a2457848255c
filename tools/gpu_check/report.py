"""What a part of the check finds, as lines of a file and as a table."""

import json
import math
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

PASSED, FAILED, MEASURED, LEFT_OUT = "pass", "FAIL", "", "left out"


@dataclass(frozen=True)
class Setup:
    """What every part of the check is given."""

    device: str  # as torch takes it: "cuda" or "cpu"
    is_small: bool  # sizes that a CPU computes within seconds
    keyframes: tuple[Path, ...]  # roots of nuScenes folders, each with at least one keyframe
    scratch: Path  # an empty folder that goes after the part
    ends_s: float = math.inf  # by time.monotonic(): when the part is killed

    def has_s(self, seconds: float) -> bool:
        """Return whether there is that much time left."""
        return self.ends_s - time.monotonic() >= seconds


@dataclass(frozen=True)
class Finding:
    """One line of the table: what was compared or measured, the figure, and a verdict."""

    part: str
    what: str
    figure: str  # with its unit, as a person reads it
    verdict: str = MEASURED
    numbers: dict[str, Any] = field(default_factory=dict)  # the figure's numbers, for the file
    after_s: float | None = None  # since the part began: where its time goes


def compared(part: str, what: str, error: float, bound: float) -> Finding:
    """Return the verdict on an error that may be at most `bound`; NaN fails."""
    verdict = PASSED if error <= bound else FAILED
    numbers = {"error": error, "bound": bound}
    return Finding(part, what, f"error {error:.1e}, allowed {bound:.0e}", verdict, numbers)


def measured(part: str, what: str, figure: str, **numbers: Any) -> Finding:
    """Return a figure without a verdict."""
    return Finding(part, what, figure, MEASURED, numbers)


def failed(part: str, what: str, why: str) -> Finding:
    """Return a check that failed for another reason than its figure."""
    return Finding(part, what, why, FAILED)


def left_out(part: str, what: str, why: str) -> Finding:
    """Return a check that cannot be made here."""
    return Finding(part, what, why, LEFT_OUT)


def no_time(part: str, what: str) -> Finding:
    """Return a check of less worth that the part's time does not suffice for."""
    return left_out(part, what, "the part's time does not suffice: a larger --limit-s has it")


def attempt(part: str, what: str, make: Callable[[], Finding]) -> Finding:
    """Return what `make` finds; an exception of it is a failure of this one finding."""
    try:
        return make()
    except Exception as error:
        traceback.print_exc()
        return failed(part, what, f"{type(error).__name__}: {error}".splitlines()[0])


def add_line(path: Path, finding: Finding) -> None:
    """Append a finding to a file of JSON lines."""
    with path.open("a") as lines:
        numbers = _finite(finding.numbers)
        lines.write(json.dumps(asdict(replace(finding, numbers=numbers)), default=str) + "\n")


def _finite(value: Any) -> Any:
    """Return numbers as they are, and NaN and infinity, which JSON does not have, as words."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def read_lines(path: Path) -> list[Finding]:
    """Return the findings of a file of JSON lines."""
    return [Finding(**json.loads(line)) for line in path.read_text().splitlines()]


def write_report(path: Path, machine: dict[str, Any], findings: Iterable[Finding]) -> None:
    """Write machine and findings as one JSON file."""
    report = {"machine": machine, "findings": [asdict(finding) for finding in findings]}
    path.write_text(json.dumps(report, indent=1) + "\n")


def table(findings: Iterable[Finding], all_lines: bool = False) -> str:
    """Return the findings as text, one line each; of what passed, only the number per part.

    With `all_lines`, what passed is listed too.
    """
    findings = list(findings)
    shown = [finding for finding in findings if all_lines or finding.verdict != PASSED]
    width = max((len(finding.what) for finding in shown), default=0)
    lines = []
    for part in dict.fromkeys(finding.part for finding in findings):
        of_part = [finding for finding in findings if finding.part == part]
        counts = [
            f"{number} {name}"
            for name in (PASSED, FAILED, LEFT_OUT)
            if (number := sum(finding.verdict == name for finding in of_part))
        ]
        lines.append(f"{part}: {', '.join(counts) or 'figures'}")
        lines += [
            f"  {finding.what:{width}}  {finding.figure}  {finding.verdict}".rstrip()
            for finding in shown
            if finding.part == part
        ]
    return "\n".join(lines)
