"""The differences between two runs: settings, code, data, environment and results.

The comparison depends on the two records alone; the store is not read.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from olivine.core.errors import UserError
from olivine.data.scenes import overlap_mark
from olivine.results.words import ABSENT
from olivine.tracking.tracker import FAILURE, IDENTITY, RunRecord
from olivine.training.data_use import DATA as DATA_PART
from olivine.training.evaluate import PRETRAINED

# Tags by their meaning; some by the beginning of their name.
CODE = ("git.", "sha256.code")
ENVIRONMENT = ("version.", "hardware.", "sha256.")
DATA = ("dataset", "labels", "label_run", PRETRAINED)
SYSTEM = "system/"  # metrics of the machine's load, which are no results
# Of runs with one fingerprint, the evaluation has more metrics than the trial above it.
PREFERRED = ("evaluate", "trial", "pretrain", "label", "label_report", "sweep")
NUM_CANDIDATES = 5  # number of runs listed for an ambiguous reference


@dataclass(frozen=True)
class Difference:
    """One name with its two values, as text."""

    name: str
    first: str
    second: str
    change: str = ""  # of numbers: second minus first


@dataclass(frozen=True)
class Aspect:
    """One thing in which runs may differ: settings, code, data, environment or results."""

    name: str
    differences: tuple[Difference, ...]
    is_known: bool  # at least one run has a value


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side."""

    first: RunRecord
    second: RunRecord
    aspects: tuple[Aspect, ...]  # settings, code, data and labels, environment, results
    note: str = ""  # the meaning of equal or unequal fingerprints

    @property
    def differs(self) -> bool:
        """Return whether anything differs."""
        return any(aspect.differences for aspect in self.aspects)


def compare(
    first: RunRecord,
    second: RunRecord,
    inputs: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> RunComparison:
    """Return the differences between two runs; `inputs` are the data sets of each, by use."""
    data, code, environment = (
        [{name: run.tags[name] for name in run.tags if says(name)} for run in (first, second)]
        for says in (_is_data_tag, _is_code_tag, _is_environment_tag)
    )
    settings = _aspect("settings", first.settings, second.settings)
    results = tuple(_results(first, second))
    aspects = (
        settings,
        _aspect("code", *code),
        _aspect(
            "data and labels", *({**tags, **read} for tags, read in zip(data, inputs, strict=True))
        ),
        _aspect("environment", *environment),
        Aspect("results", results, bool(first.metrics or second.metrics)),
    )
    return RunComparison(first, second, aspects, _note(first, second, bool(settings.differences)))


def find_runs(
    words: tuple[str, str], runs: Sequence[RunRecord], store: str
) -> tuple[RunRecord, RunRecord]:
    """Return the runs of two references, of the same stage if possible.

    A reference is the beginning of a run's id, or of a fingerprint that several runs may share: the
    newest finished one of them is taken, else the newest. `runs` are all runs of the store, newest
    first. Raises UserError for a reference to no run or to several.
    """
    first, second = (_candidates(word, runs, store) for word in words)
    common = {run.key.stage for run in first} & {run.key.stage for run in second}
    stage = min(common, key=_preference, default=None)
    return _chosen(first, stage), _chosen(second, stage)


def lines(comparison: RunComparison) -> Iterator[str]:
    """Yield a comparison for a terminal: a block per aspect, names in a column, then both runs."""
    first, second = comparison.first, comparison.second
    rows = [("", "first", "second", "")]
    rows += [(name, one, two, "") for name, one, two in _about(first, second)]
    yield from _columns(rows)
    for aspect in comparison.aspects:
        if not aspect.differences:
            yield f"\n{aspect.name}: {'nothing differs' if aspect.is_known else 'not recorded'}"
            continue
        yield f"\n{aspect.name}"
        yield from _columns(
            [(f"  {one.name}", one.first, one.second, one.change) for one in aspect.differences]
        )
    if comparison.note:
        yield f"\n{comparison.note}"
    if not comparison.differs:
        same = first.run_id == second.run_id
        yield f"\n{'They are the same run.' if same else 'Nothing differs.'}"


def _candidates(word: str, runs: Sequence[RunRecord], store: str) -> list[RunRecord]:
    by_id = [run for run in runs if run.run_id.startswith(word)] if word else []
    by_print = [run for run in runs if run.key.fingerprint.startswith(word)] if word else []
    if len(by_id) == 1 and not by_print:
        return by_id
    prints = dict.fromkeys(run.key.fingerprint for run in by_print)
    if len(prints) == 1 and not by_id:
        return by_print
    if not by_id and not by_print:
        raise UserError(
            f"No run in {store} has an id or a fingerprint that begins with {word!r}; `olivine "
            "report SWEEP` lists the fingerprints of a sweep's trials, MLflow's page the ids."
        )
    meant = [*(f"run {run.run_id}" for run in by_id), *(f"fingerprint {name}" for name in prints)]
    rest = f" and {len(meant) - NUM_CANDIDATES} more" if len(meant) > NUM_CANDIDATES else ""
    raise UserError(
        f"{word!r} may be {', '.join(meant[:NUM_CANDIDATES])}{rest}: give more of its characters."
    )


def _chosen(runs: Sequence[RunRecord], stage: str | None) -> RunRecord:
    of_stage = [run for run in runs if stage is None or run.key.stage == stage]
    return min(of_stage, key=lambda run: (_preference(run.key.stage), run.status != "FINISHED"))


def _preference(stage: str) -> tuple[int, str]:
    order = PREFERRED.index(stage) if stage in PREFERRED else len(PREFERRED)
    return order, stage


def _about(first: RunRecord, second: RunRecord) -> Iterator[tuple[str, str, str]]:
    yield "run", first.run_id, second.run_id
    yield "name", first.name, second.name
    yield "stage", first.key.stage, second.key.stage
    yield "fingerprint", first.key.fingerprint, second.key.fingerprint
    yield "status", first.status, second.status
    reasons = first.tags.get(FAILURE, ""), second.tags.get(FAILURE, "")
    if any(reasons):
        yield "reason", reasons[0] or ABSENT, reasons[1] or ABSENT
    overlaps = [overlap_mark(run.tags, run.settings) for run in (first, second)]
    if any(overlaps):
        yield "overlap", overlaps[0] or ABSENT, overlaps[1] or ABSENT


def _note(first: RunRecord, second: RunRecord, settings_differ: bool) -> str:
    """Return the meaning of equal or unequal fingerprints, where settings do not explain them."""
    if settings_differ or first.key.stage != second.key.stage:
        return ""
    if first.key.fingerprint == second.key.fingerprint:
        if first.run_id == second.run_id:
            return ""
        return (
            "Equal fingerprints: equal settings, data and labels; what differs in the results is "
            "chance, code or hardware."
        )
    if (IDENTITY in first.tags) != (IDENTITY in second.tags):
        return (
            "Equal settings but other fingerprints: one run is of a version before 0.3, whose "
            "fingerprints cover a data set's tables and not its files."
        )
    return (
        "Equal settings but other fingerprints: the data, the labels or the weights that they "
        "read differ."
    )


def _results(first: RunRecord, second: RunRecord) -> Iterator[Difference]:
    """Yield the metrics that differ."""
    for name in sorted(first.metrics.keys() | second.metrics.keys()):
        one, two = first.metrics.get(name), second.metrics.get(name)
        if name.startswith(SYSTEM) or one == two or _both_nan(one, two):
            continue
        change = "" if one is None or two is None else f"{two - one:+.4g}"
        yield Difference(name, _number(one), _number(two), change)


def _aspect(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> Aspect:
    differences = tuple(
        Difference(key, first.get(key, ABSENT), second.get(key, ABSENT))
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    )
    return Aspect(name, differences, bool(first or second))


def _is_code_tag(tag: str) -> bool:
    return tag.startswith(CODE)


def _is_data_tag(tag: str) -> bool:
    return tag in DATA or tag.startswith(DATA_PART)


def _is_environment_tag(tag: str) -> bool:
    return tag.startswith(ENVIRONMENT) and not _is_code_tag(tag)


def _both_nan(one: float | None, two: float | None) -> bool:
    return one is not None and two is not None and math.isnan(one) and math.isnan(two)


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.6g}"


def _columns(rows: Collection[Sequence[str]]) -> Iterator[str]:
    """Yield rows as text, every column as wide as its widest value."""
    cells = [[" ".join(cell.split()) if i else cell for i, cell in enumerate(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
