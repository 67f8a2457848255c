"""The tabulation stage: finished runs become a table with error bars, published numbers beside it.

A mean is over seeds, the deviation is the sample's (n - 1); one seed has none. What is missing is
shown, never filled in, and a published number is never part of a mean.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from olivine.errors import UserError, nearest
from olivine.storage import Store
from olivine.sweep import SweepPlan
from olivine.tracking import FAILURE, RunRecord

COLUMNS = ("method", "metric", "mean", "std", "n")
DASH = "–"


def ablation_table(
    records: Sequence[RunRecord], rows: Mapping[str, Sequence[str]], metrics: Sequence[str]
) -> pd.DataFrame:
    """Return one line per row and metric: method, metric, mean, std, n.

    `rows` gives the fingerprints of each row's trials (`SweepPlan.rows`); of runs with one
    fingerprint the newest counts. Raises UserError for a metric that no finished run has.
    """
    finished = _newest(record for record in records if record.status == "FINISHED")
    asked = [finished[f] for prints in rows.values() for f in prints if f in finished]
    _check_metrics(asked, metrics)
    lines = []
    for method, fingerprints in rows.items():
        runs = [finished[f] for f in fingerprints if f in finished]
        for metric in metrics:
            values = pd.Series(
                [r.metrics[metric] for r in runs if metric in r.metrics], dtype=float
            )
            lines.append((method, metric, values.mean(), values.std(ddof=1), len(values)))
    return pd.DataFrame(lines, columns=list(COLUMNS))


def missing_trials(records: Sequence[RunRecord], plan: SweepPlan) -> pd.DataFrame:
    """Return the trials without a finished run: method, seed and why."""
    finished = _newest(record for record in records if record.status == "FINISHED")
    unfinished = _newest(record for record in records if record.status != "FINISHED")
    lines = [
        (trial.row, trial.seed, _why(unfinished.get(fingerprint)))
        for fingerprint, trial in plan.trials.items()
        if fingerprint not in finished
    ]
    return pd.DataFrame(lines, columns=["method", "seed", "why"])


def published(table: str, protocol: str = "linear_probe") -> pd.DataFrame:
    """Return the numbers in print for one table: method, metric, value, how, source.

    `how` is "printed", or "derived" where only a difference is in print. Empty where nothing is
    known.
    """
    known = _published()
    chosen = known[(known["table"] == table) & (known["protocol"] == protocol)]
    return chosen.rename(columns={"row": "method"})[
        ["method", "metric", "value", "how", "source"]
    ].reset_index(drop=True)


def published_rows(table: str) -> pd.DataFrame:
    """Return the numbers in print of every protocol, by the labels that a sweep's rows have.

    A linear probe has the method's name, fine-tuning the share of labels behind it ("PPKT, 10 %").
    """
    known = _published()
    parts = [published(table)]
    for protocol in known.loc[known["table"] == table, "protocol"].unique():
        name, _, percent = protocol.rpartition("_")
        if name == "finetune":
            tuned = published(table, protocol)
            parts.append(tuned.assign(method=tuned["method"] + f", {percent} %"))
    return pd.concat(parts, ignore_index=True)


def ablation_markdown(
    table: pd.DataFrame,
    title: str,
    *,
    in_print: pd.DataFrame | None = None,
    missing: pd.DataFrame | None = None,
    lower_is_better: Iterable[str] = (),
) -> str:
    """Return the table for people: a line per method, a column per metric, the best bold.

    Numbers in print have a column of their own and their sources below; missing trials are
    listed with their reasons.
    """
    metrics = list(dict.fromkeys(table["metric"]))
    best = _best(table, set(lower_is_better))
    lookup = {(line.method, line.metric): line for line in table.itertuples()}
    prints = {} if in_print is None else {(p.method, p.metric): p for p in in_print.itertuples()}
    in_columns = [m for m in metrics if any(metric == m for _, metric in prints)]
    header = ["method", *metrics, "n", *(f"{metric}, published" for metric in in_columns)]
    lines = []
    for method in dict.fromkeys(table["method"]):
        cells = [_cell(lookup[method, metric], best) for metric in metrics]
        counts = {str(lookup[method, metric].n) for metric in metrics}
        beside = [_printed(prints.get((method, metric))) for metric in in_columns]
        lines.append([method, *cells, "/".join(sorted(counts)), *beside])
    parts = [f"# {title}", "Mean ± standard deviation over n seeds.", _pipes([header, *lines])]
    parts += _sources(table, in_print) if in_columns else []
    parts += _missing_notes(missing)
    return "\n\n".join(parts) + "\n"


def write_ablation(
    folder: Path, records: Sequence[RunRecord], plan: SweepPlan, metrics: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write ablation.csv (columns method, metric, mean, std, n) and ablation.md; return both."""
    table = ablation_table(records, plan.rows(), tuple(metrics) or (plan.metric,))
    text = ablation_markdown(
        table,
        f"Sweep {plan.name}",
        in_print=published_rows(plan.name),
        missing=missing_trials(records, plan),
    )
    store = Store(folder)
    store.write("ablation.csv", table.to_csv(index=False).encode())
    store.write("ablation.md", text.encode())
    return folder / "ablation.csv", folder / "ablation.md"


@functools.lru_cache(maxsize=1)
def _published() -> pd.DataFrame:
    with resources.files("olivine").joinpath("published.csv").open() as stream:
        return pd.read_csv(stream)


def _newest(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Return the first record of each fingerprint; a store gives the newest first."""
    newest: dict[str, RunRecord] = {}
    for record in records:
        newest.setdefault(record.key.fingerprint, record)
    return newest


def _check_metrics(runs: Sequence[RunRecord], metrics: Sequence[str]) -> None:
    if not runs:
        raise UserError("No trial of this table has finished; run its sweep first.")
    known = {name for run in runs for name in run.metrics}
    for metric in metrics:
        if metric not in known:
            raise UserError(
                f"No run has a metric {metric!r}.{nearest(metric, known)} "
                f"They have: {', '.join(sorted(known))}."
            )


def _why(record: RunRecord | None) -> str:
    if record is None:
        return "never started"
    reason = record.tags.get(FAILURE, "")
    return f"{record.status.lower()}{f': {reason}' if reason else ''}"


def _best(table: pd.DataFrame, lower_is_better: set[str]) -> set[tuple[str, str]]:
    """Return (method, metric) of every best mean."""
    best = set()
    for metric, lines in table.dropna(subset="mean").groupby("metric"):
        top = lines["mean"].min() if metric in lower_is_better else lines["mean"].max()
        best |= {(method, str(metric)) for method in lines.loc[lines["mean"] == top, "method"]}
    return best


def _cell(line: Any, best: set[tuple[str, str]]) -> str:
    method, metric, mean, std = (getattr(line, name) for name in COLUMNS[:4])
    if pd.isna(mean):
        return DASH
    text = f"{mean:.2f} ± {DASH if pd.isna(std) else f'{std:.2f}'}"
    return f"**{text}**" if (method, metric) in best else text


def _printed(line: Any) -> str:
    if line is None:
        return DASH
    value, how = line.value, line.how
    return f"{'≈ ' if how == 'derived' else ''}{value:g}"


def _sources(table: pd.DataFrame, in_print: pd.DataFrame | None) -> list[str]:
    assert in_print is not None
    shown = in_print[in_print["method"].isin(table["method"])]
    lines = [f"- `{p.method}`: {p.value:g}, {p.how}; {p.source}" for p in shown.itertuples()]
    note = (
        "Published numbers are the authors', at their scale and on their data, and are in no mean "
        "of ours (≈: derived, not printed):"
    )
    return [note, "\n".join(lines)]


def _missing_notes(missing: pd.DataFrame | None) -> list[str]:
    if missing is None or missing.empty:
        return []
    lines = [f"- `{m.method}`, seed {m.seed}: {m.why}" for m in missing.itertuples()]
    return ["Missing:", "\n".join(lines)]


def _pipes(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up as text."""
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        for line in (lines[0], rule, *lines[1:])
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
