"""Notes about runs of one table that were made by different code, packages or devices.

Means over such runs mix the effect of the seed with that of the code, and nothing else in a table
shows it. The runs asked are those that made the numbers, the evaluation and its pretraining: a
trial that reuses them carries the tags of its own, newer code.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from olivine.tracking.reused import COMMIT, DIFF_HASH, DIRTY, VERSION, code_text
from olivine.tracking.tracker import Columns, Tracker, best_status_run
from olivine.training.evaluate import PRETRAINED

TORCH, GPU, CPU = "version.torch", "hardware.gpu", "hardware.cpu"
CODE_TAGS = (COMMIT, DIRTY, DIFF_HASH, VERSION, TORCH, GPU, CPU)
TRIAL, EVALUATION, PRETRAINING = "trial", "evaluation", "pretraining"
CODE, UNKNOWN = "code", "unknown"
CHANGED = "with uncommitted changes"  # as `code_text` says it
KINDS = (CODE, "olivine", "torch", "device")
NUM_NAMED = 6  # rows that a note names
NUM_SEEDS_NAMED = 8
Versions = Mapping[tuple[str, str], str]  # by stage and kind


def versions(stage: str, tags: Mapping[str, str]) -> Versions:
    """Return what made a run of a stage, from its tags; kinds that they do not tell are absent."""
    found = {
        CODE: code_text(tags) if COMMIT in tags or VERSION in tags else "",
        "olivine": tags.get(VERSION, ""),
        "torch": tags.get(TORCH, ""),
        "device": tags.get(GPU) or tags.get(CPU, ""),
    }
    if found[CODE] and (changes := tags.get(DIFF_HASH)):
        found[CODE] += f" ({changes[:8]})"
    return {(stage, kind): text for kind, text in found.items() if text}


def versions_behind(fingerprints: Iterable[str], tracker: Tracker) -> dict[str, Versions]:
    """Return what made the evaluation and the pretraining of trials, by their fingerprints."""
    columns = Columns(settings=(), metrics=(), tags=(*CODE_TAGS, PRETRAINED))
    evaluated = best_status_run(
        tracker.records("evaluate", fingerprints=list(fingerprints), columns=columns)
    )
    used = {name for run in evaluated.values() if (name := run.tags.get(PRETRAINED))}
    pretrained = (
        best_status_run(tracker.records("pretrain", fingerprints=list(used), columns=columns))
        if used
        else {}
    )
    found: dict[str, Versions] = {}
    for fingerprint, run in evaluated.items():
        before = pretrained.get(run.tags.get(PRETRAINED, ""))
        found[fingerprint] = {
            **versions(EVALUATION, run.tags),
            **(versions(PRETRAINING, before.tags) if before is not None else {}),
        }
    return found


def notes_on_code(cells: Mapping[str, Sequence[tuple[int, Versions]]]) -> Iterator[str]:
    """Yield a note for each kind in which runs of one cell, or of different rows, differ.

    `cells` has the seed and what made it of each finished run, by the name of its cell.
    """
    for kind in KINDS:
        rows: dict[str, list[str]] = {}
        mixed = []
        for name, runs in cells.items():
            seeds: dict[str, list[int]] = {}
            for seed, made in runs:
                seeds.setdefault(_told(made, kind), []).append(seed)
            for text in seeds:
                rows.setdefault(text, []).append(name)
            if len(seeds) > 1:
                told = "; ".join(f"{text} in {_seeds(of)}" for text, of in seeds.items())
                mixed.append(f"{name} ({told})")
        if mixed:
            yield (
                f"A mean is over runs of more than one {kind}: {', '.join(_few(mixed))}. Its "
                "spread is not that of the seeds alone."
            )
        elif len(rows) > 1:
            told = "; ".join(f"{text}: {', '.join(_few(names))}" for text, names in rows.items())
            yield f"The rows are of more than one {kind}: {told}."
    dirty = [
        name
        for name, runs in cells.items()
        if any(CHANGED in text for _, made in runs for text in made.values())
    ]
    if dirty:
        yield f"Made by code {CHANGED}: {', '.join(_few(dirty))}."


def _told(made: Versions, kind: str) -> str:
    """Return what made a run, stage by stage where its stages differ."""
    stages = {stage: text for (stage, of), text in made.items() if of == kind}
    if len(set(stages.values())) <= 1:
        return next(iter(stages.values()), UNKNOWN)
    return ", ".join(f"{stage} {text}" for stage, text in sorted(stages.items(), reverse=True))


def _seeds(seeds: Sequence[int]) -> str:
    named = ", ".join(map(str, sorted(set(seeds))[:NUM_SEEDS_NAMED]))
    rest = len(set(seeds)) - NUM_SEEDS_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"seed{'s' if len(set(seeds)) > 1 else ''} {named}{more}"


def _few(names: Sequence[str]) -> list[str]:
    unique = list(dict.fromkeys(names))
    rest = len(unique) - NUM_NAMED
    return [*unique[:NUM_NAMED], f"{rest} more"] if rest > 0 else unique
