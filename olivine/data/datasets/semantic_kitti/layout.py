"""The paths of SemanticKITTI's files, and the faults that names and sizes alone show."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from olivine.core.storage import Store

SEQUENCES: dict[str, tuple[str, ...]] = {  # the benchmark's own
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": ("11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"),
}
NUM_SCANS = {
    "00": 4541, "01": 1101, "02": 4661, "03": 801, "04": 271, "05": 2761, "06": 1101, "07": 1101,
    "08": 4071, "09": 1591, "10": 1201, "11": 921, "12": 1061, "13": 3281, "14": 631, "15": 1901,
    "16": 1731, "17": 491, "18": 1801, "19": 4981, "20": 831, "21": 2721,
}  # fmt: skip
POINT_BYTES = 16  # x, y, z and remission, float32
LABEL_BYTES = 4  # class in the lower half, instance in the upper


class Fault(NamedTuple):
    """One fault of a file or a folder."""

    name: str  # below the root
    kind: str
    detail: str


@dataclass(frozen=True)
class Listing:
    """The files of one sequence and their sizes in bytes."""

    sequence: str
    scans: Mapping[str, int]  # by name below the root
    labels: Mapping[str, int] | None  # None: its split has none

    @classmethod
    def of(cls, store: Store, sequence: str) -> "Listing":
        """Return the listing of a sequence."""
        has_labels = sequence not in SEQUENCES["test"]
        return cls(
            sequence,
            _sizes(store, _folder(sequence, "velodyne"), ".bin"),
            _sizes(store, _folder(sequence, "labels"), ".label") if has_labels else None,
        )

    def faults(self, *, may_be_partial: bool = False) -> Iterator[Fault]:
        """Yield the faults; `may_be_partial` allows scans to be missing at the sequence's end."""
        folder, num_scans = _folder(self.sequence, "velodyne"), len(self.scans)
        expected = {scan_name(self.sequence, number) for number in range(num_scans)}
        if gaps := sorted(expected - set(self.scans)):
            stray = min(set(self.scans) - expected)
            yield Fault(gaps[0], "missing file", f"it is not there, and {stray} is")
        elif num_scans != NUM_SCANS[self.sequence] and not (may_be_partial and num_scans):
            detail = f"it has {num_scans} scans of {NUM_SCANS[self.sequence]}"
            yield Fault(folder, "incomplete", detail)
        for name, size in sorted(self.scans.items()):
            if not size or size % POINT_BYTES:
                detail = f"{size} bytes is not a number of points of {POINT_BYTES} bytes each"
                yield Fault(name, "truncated", detail)
        if self.labels is not None:
            yield from self._label_faults(self.labels)

    def _label_faults(self, labels: Mapping[str, int]) -> Iterator[Fault]:
        scan_of = {_label_of(name): name for name in self.scans}
        for name, scan in sorted(scan_of.items()):
            if name not in labels:
                yield Fault(name, "missing file", f"{scan} has no labels")
            elif labels[name] * POINT_BYTES != self.scans[scan] * LABEL_BYTES:
                found, wanted = labels[name] / LABEL_BYTES, self.scans[scan] / POINT_BYTES
                yield Fault(name, "wrong label count", f"{found:g} labels for {wanted:g} points")
        for name in sorted(set(labels) - set(scan_of)):
            yield Fault(name, "stray file", "it has no scan")


def sequences_there(store: Store) -> list[str]:
    """Return the benchmark's sequences that have a folder."""
    found = {name.removeprefix("sequences/") for name in store.folders("sequences")}
    return sorted(found & set(NUM_SCANS))


def scan_name(sequence: str, number: int) -> str:
    """Return the path of a scan below the root."""
    return f"{_folder(sequence, 'velodyne')}/{number:06d}.bin"


def label_name(sequence: str, number: int) -> str:
    """Return the path of a scan's labels below the root."""
    return _label_of(scan_name(sequence, number))


def _label_of(scan: str) -> str:
    return re.sub(r"velodyne/(.*)\.bin$", r"labels/\1.label", scan)


def _folder(sequence: str, part: str) -> str:
    return f"sequences/{sequence}/{part}"


def _sizes(store: Store, folder: str, suffix: str) -> dict[str, int]:
    found = store.sizes_and_times(folder)
    return {name: size for name, (size, _) in found.items() if name.endswith(suffix)}
