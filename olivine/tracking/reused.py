"""Sentences about reused runs: their date, their code, and how the code here differs from it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from olivine.tracking.provenance import DIFF, provenance
from olivine.tracking.tracker import RunRecord

COMMIT, DIRTY, DIFF_HASH = "git.commit", "git.dirty", f"sha256.{DIFF}"
VERSION = "version.olivine"
SHOWN_DIGITS = 12  # of a commit


@dataclass(frozen=True)
class Reused:
    """A finished run whose result was reused instead of running it again."""

    what: str  # "the pretraining"
    record: RunRecord

    def __str__(self) -> str:
        day, code = time_text(self.record.end_s), code_text(self.record.tags)
        change = code_change(self.record.tags, provenance())
        return f"Reused {self.what} of {day}, {code}{f'; {change}' if change else ''}."


def reused_runs(what: str, records: Iterable[RunRecord]) -> list[str]:
    """Return a sentence per code that made some of the runs; `what` names one, such as "trial"."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        change = code_change(record.tags, provenance())
        groups.setdefault((code_text(record.tags), change), []).append(record)
    sentences = []
    for (code, change), made in groups.items():
        times = sorted(record.end_s or 0.0 for record in made)
        first, last = time_text(times[0]), time_text(times[-1])
        span = first if first == last else f"{first} to {last}"
        num = f"{len(made)} {what}{'s' if len(made) > 1 else ''}"
        sentences.append(f"Reused {num} of {span}, {code}{f'; {change}' if change else ''}.")
    return sentences


def time_text(time_s: float | None) -> str:
    """Return a time as people read it, in UTC."""
    if not time_s:
        return "an unknown time"
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time_s))


def code_text(tags: Mapping[str, str]) -> str:
    """Return the code of a run as a text, from its tags."""
    if commit := tags.get(COMMIT):
        changes = " with uncommitted changes" if tags.get(DIRTY) == "true" else ""
        return f"commit {commit[:SHOWN_DIGITS]}{changes}"
    return f"olivine {tags[VERSION]}" if VERSION in tags else "by code of an unknown version"


def code_change(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return how the code here differs from that in a run's tags; "" if it does not.

    User code is not compared: its hash is in the fingerprint, so it is the same.
    """
    commits = then.get(COMMIT), now.get(COMMIT)
    if None in commits:
        versions = then.get(VERSION), now.get(VERSION)
        same = commits[0] is commits[1] and None not in versions and versions[0] == versions[1]
        return "" if same else f"the code here is {code_text(now)}"
    if commits[0] != commits[1]:
        return f"the code here is {code_text(now)}"
    changes = then.get(DIFF_HASH, ""), now.get(DIFF_HASH, "")
    if changes[0] == changes[1]:
        return ""
    if not changes[1]:
        return "the code here is that commit without those changes"
    return f"the code here has {'other ' if changes[0] else ''}uncommitted changes"
