"""Finds every fault of a SemanticKITTI data set: of its sequences, its scans and its labels."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes.check import Report
from olivine.data.datasets.nuscenes.links import Problem
from olivine.data.datasets.semantic_kitti.classes import UNKNOWN, class_lookup
from olivine.data.datasets.semantic_kitti.frames import read_fine_ids, read_scan
from olivine.data.datasets.semantic_kitti.layout import (
    Fault,
    Listing,
    label_name,
    scan_name,
    sequences_there,
)

_FILES_AT_ONCE = 1024


def check(
    root: Path,
    num_threads: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read all files of the present sequences and return every fault.

    Faults are missing scans, wrong sizes, coordinates that are not finite, and labels that are
    missing, too many or unknown. A sequence without a folder is no fault, since few people need all
    of them. `progress` is called with the number of scans done and of all scans.
    """
    store = Store(root)
    listings = [Listing.of(store, sequence) for sequence in sequences_there(store)]
    faults = [fault for listing in listings for fault in listing.faults()]
    known = {fault.name for fault in faults}
    scans = [(listing, number) for listing in listings for number in range(len(listing.scans))]
    jobs, done = iter(scans), 0
    with ThreadPoolExecutor(num_threads) as pool:
        while some := list(itertools.islice(jobs, _FILES_AT_ONCE)):
            for found in pool.map(lambda job: list(_contents(store, job[0], job[1], known)), some):
                faults += found
            done += len(some)
            if progress:
                progress(done, len(scans))
    problems = tuple(Problem(root / fault.name, fault.kind, fault.detail) for fault in faults)
    num_files = sum(len(listing.scans) + len(listing.labels or ()) for listing in listings)
    return Report(problems, num_files, 0)


def _contents(store: Store, listing: Listing, number: int, known: set[str]) -> Iterator[Fault]:
    """Yield the faults inside the files of a scan whose sizes are right."""
    scan, labels = scan_name(listing.sequence, number), label_name(listing.sequence, number)
    if scan in known or scan not in listing.scans:
        return
    try:
        points = read_scan(store, scan)
    except UserError as error:
        yield Fault(scan, "unreadable", str(error))
        return
    if not np.isfinite(points).all():
        yield Fault(scan, "unreadable", "a coordinate is not finite")
    if labels in known or labels not in (listing.labels or ()):
        return
    try:
        fine = read_fine_ids(store, labels, len(points))
    except UserError as error:
        yield Fault(labels, "unreadable", str(error))
        return
    unknown = np.unique(fine[class_lookup()[fine] == UNKNOWN]).tolist()
    if unknown:
        yield Fault(labels, "unknown class", f"ids {unknown} are not SemanticKITTI's")
