"""The page of a sweep's report: one HTML file that needs nothing else, readable on a phone."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from olivine.core.storage import Store
from olivine.results.page_parts import html_page, safe
from olivine.results.sweep_report import sections
from olivine.results.sweep_report.read import SweepReport
from olivine.results.sweep_report.trials import GIVEN_UP, NEVER_STARTED
from olivine.tracking.tracker import FAILURE

STYLE = Path(__file__).with_suffix(".css")
SECTIONS = (
    ("result", "Result", sections.result),
    ("cost", "Score against cost", sections.cost),
    ("settings", "Settings", sections.settings),
    ("curves", "Learning curves", sections.curves),
    ("failures", "What did not finish", sections.failures),
    ("trials", "All trials", sections.trials),
    ("repeat", "Repeat it", sections.repeat),
    ("environment", "Environment", sections.environment),
)


def write_page(path: Path, report: SweepReport) -> Path:
    """Write the page, whole or not at all."""
    Store(path.parent).write(path.name, render(report).encode())
    return path


def render(report: SweepReport) -> str:
    """Return the page as HTML without a script or any other file."""
    texts = {name: "\n".join(write(report)) for name, _, write in SECTIONS}
    shown = [(name, title) for name, title, _ in SECTIONS if texts[name]]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title in shown)
    parts = [
        f'<section id="{name}"><h2>{title}</h2>\n{texts[name]}</section>' for name, title in shown
    ]
    body = "\n".join([*_head(report), f"<nav>{links}</nav>", *parts])
    return html_page(f"Sweep {report.name}", STYLE, body)


def _head(report: SweepReport) -> Iterator[str]:
    yield f"<h1>Sweep {safe(report.name)}</h1>"
    first, *rest = [part for part in report.question.split("\n\n") if part.strip()] or [""]
    if first:
        yield f'<p class="lead">{safe(" ".join(first.split()))}</p>'
    for text in _warnings(report):
        yield f'<p class="warn">{safe(text)}</p>'
    facts = "".join(f"<div><b>{safe(v)}</b>{safe(name)}</div>" for name, v in _facts(report))
    yield f'<div class="keys">{facts}</div>'
    ended = ", not ended" if report.sweep.end_s is None else f", ended {_time(report.sweep.end_s)}"
    yield f'<p class="note">Begun {_time(report.sweep.start_s)}{ended}.</p>'
    if rest:
        words = "".join(f"<p>{safe(' '.join(part.split()))}</p>" for part in rest)
        yield f"<details><summary>More about the question</summary>{words}</details>"


def _warnings(report: SweepReport) -> Iterator[str]:
    """Say what a reader must know before any number."""
    left = sections.left(report)
    if not report.finished:
        yield "No trial has finished yet: there is nothing to compare."
    elif left:
        yield (
            f"{len(left)} of {len(report.trials)} trials have no result (see “What did not "
            "finish”); every number here is of the others."
        )
    reason = report.sweep.tags.get(FAILURE, "")
    if reason and report.sweep.status != "FINISHED":
        yield f"The sweep is not whole: {reason}"
    dirty = report.environment.get("git.dirty", {}).get("true", 0)
    if dirty:
        yield (
            f"{dirty} trials ran code with changes since its commit; code.diff among the files of "
            "the sweep's run holds them."
        )
    if any(_is_mixed(report, name) for name in ("git.commit", "sha256.code.diff")):
        yield "The trials did not all run the same code (see “Environment”)."


def _is_mixed(report: SweepReport, name: str) -> bool:
    values = report.environment.get(name, {})
    started = sum(trial.record is not None for trial in report.trials)
    return len(values) > 1 or 0 < sum(values.values()) < started


def _facts(report: SweepReport) -> Iterator[tuple[str, str]]:
    yield "trials finished", f"{len(report.finished)} of {len(report.trials)}"
    statuses = Counter(trial.status for trial in report.trials)
    for status in ("failed", "killed", "running", GIVEN_UP, NEVER_STARTED):
        if statuses[status]:
            yield f"trials {status}", str(statuses[status])
    if not report.is_search:
        rows = dict.fromkeys(trial.row for trial in report.trials)
        seeds = dict.fromkeys(trial.seed for trial in report.trials)
        yield "rows × seeds", f"{len(rows)} × {len(seeds)}"
    best = report.best
    if best is not None:
        what = report.metric if report.is_search else f"mean {report.metric} (n={best.num_seeds})"
        yield f"best {what}: {best.name}", f"{best.score:.4g}"
    if report.device_hours:
        hours = report.device_hours
        text = f"{hours:,.0f} h" if hours >= 100 else f"{hours:.3g} h"
        yield "of devices, shared work once", text if hours >= 1 else f"{60 * hours:.3g} min"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
