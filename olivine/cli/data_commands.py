"""The commands about data sets: make a synthetic one, check a real one."""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.progress import Progress
from olivine.core.spec import parse_settings

if TYPE_CHECKING:
    from olivine.data.datasets.nuscenes.check import Report

OK, FOUND_PROBLEMS = 0, 1


def run(arguments: Namespace) -> int:
    """Run `olivine data ACTION`; return its exit status."""
    return {"synth": _synth, "check": _check}[arguments.action](arguments)


def _synth(arguments: Namespace) -> int:
    from olivine.data.datasets.synthetic.config import WorldConfig
    from olivine.data.datasets.synthetic.export.writing import write_world

    world = WorldConfig().override(parse_settings(arguments.set))
    processes = arguments.processes or os.cpu_count() or 1
    write_world(world, _local(arguments.root), processes, Progress("synthetic world", "keyframes"))
    sys.stdout.write(
        f"Data set: {arguments.root} ({world.num_scenes} scenes of {world.keyframes_per_scene} "
        f"keyframes)\nNext: olivine label --set runtime.data_root={arguments.root}\n"
    )
    return OK


def _check(arguments: Namespace) -> int:
    root = _local(arguments.root)
    report = _report(root, arguments)
    if not report.problems:
        sys.stdout.write(f"{report.num_files} files below {root}: no problem found.\n")
        return OK
    widths = [
        max(len(str(p.path)) for p in report.problems),
        max(len(p.kind) for p in report.problems),
    ]
    for problem in report.problems:
        sys.stdout.write(
            f"{problem.path!s:{widths[0]}}  {problem.kind:{widths[1]}}  {problem.detail}\n"
        )
    sys.stdout.write(f"{len(report.problems)} problems in {report.num_files} files below {root}.\n")
    return FOUND_PROBLEMS


def _report(root: Path, arguments: Namespace) -> "Report":
    """Return the faults of whichever data set lies there."""
    progress = Progress("check", "files")
    if (root / "sequences").is_dir():
        from olivine.data.datasets.semantic_kitti.check import check as check_semantic_kitti

        return check_semantic_kitti(root, arguments.threads, progress)
    from olivine.data.datasets.nuscenes.check import check

    return check(root, _version(root, arguments.version), arguments.threads, progress)


def _local(root: str) -> Path:
    if is_bucket(root):
        raise UserError(
            f"`olivine data` works on a local folder, and {root} is a bucket: copy the data set "
            "there and back with the cloud's own tool."
        )
    return Path(root)


def _version(root: Path, given: str) -> str:
    from olivine.data.datasets.nuscenes.sources import versions

    if given:
        return given
    if not root.is_dir():
        raise UserError(
            f"No folder {root}: give the one that holds samples/ and v1.0-mini/, or sequences/."
        )
    found = versions(root)
    if len(found) != 1:
        raise UserError(
            f"{root} has {', '.join(found) or 'no version folder such as v1.0-mini'}: choose one "
            "by --version."
        )
    return found[0]
