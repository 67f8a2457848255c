"""`olivine data synth` and `olivine data check`: make a synthetic data set, check a real one."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olivine.cli.options import Changes, Json, at_least
from olivine.cli.output import write_json, write_line, write_next, write_rows
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.data.datasets.nuscenes.check import Report
    from olivine.data.datasets.nuscenes.links import Problem

FOUND_PROBLEMS = 1
WorldFolder = Annotated[
    str, typer.Argument(metavar="FOLDER", help="Folder to write to.", show_default=False)
]
DataFolder = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER",
        help="Folder that holds samples/ and v1.0-*/ (nuScenes) or sequences/ (SemanticKITTI).",
        show_default=False,
    ),
]


def synth(
    root: WorldFolder,
    processes: Annotated[
        int,
        typer.Option("--processes", metavar="N", help="Number of processes; 0: one per core."),
    ] = 0,
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write a synthetic data set in nuScenes' format."""
    from olivine.core.progress import Progress
    from olivine.core.spec import parse_settings
    from olivine.data.datasets.synthetic.config import WorldConfig
    from olivine.data.datasets.synthetic.export.writing import write_world

    world = WorldConfig().override(parse_settings(changes or ()))
    num_processes = at_least(processes, 0, "--processes") or os.cpu_count() or 1
    write_world(world, _local(root), num_processes, Progress("synthetic world", "keyframes"))
    if as_json:
        write_json({"root": root, "num_scenes": world.num_scenes, "world": world.to_dict()})
        return 0
    write_line(
        f"Data set: {root} ({world.num_scenes} scenes of {world.keyframes_per_scene} keyframes)"
    )
    write_next(["label", "--set", f"runtime.data_root={root}"])
    return 0


def check(
    root: DataFolder,
    version: Annotated[
        str,
        typer.Option(
            "--version",
            help="Version of nuScenes' tables (default: the only one there).",
            show_default=False,
        ),
    ] = "",
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="Number of files read at once.")
    ] = 8,
    as_json: Json = False,
) -> int:
    """List every missing, broken or inconsistent file of a data set."""
    folder = _local(root)
    report = _report(folder, version, at_least(threads, 1, "--threads"))
    if as_json:
        problems = [{**vars(problem), "path": str(problem.path)} for problem in report.problems]
        write_json({"root": root, "num_files": report.num_files, "problems": problems})
    elif report.problems:
        write_rows(("file", "problem", "detail"), _rows(report.problems))
        write_line(f"{len(report.problems)} problems in {report.num_files} files below {root}.")
    else:
        write_line(f"{report.num_files} files below {root}: no problem found.")
    return FOUND_PROBLEMS if report.problems else 0


def _rows(problems: "Sequence[Problem]") -> list[tuple[str, str, str]]:
    return [(str(problem.path), problem.kind, problem.detail) for problem in problems]


def _report(root: Path, version: str, threads: int) -> "Report":
    """Return the faults of the data set in a folder, of either format."""
    from olivine.core.progress import Progress

    progress = Progress("check", "files")
    if (root / "sequences").is_dir():
        from olivine.data.datasets.semantic_kitti.check import check as check_semantic_kitti

        return check_semantic_kitti(root, threads, progress)
    from olivine.data.datasets.nuscenes.check import check as check_nuscenes

    return check_nuscenes(root, version or _only_version(root), threads, progress)


def _local(root: str) -> Path:
    from olivine.core.buckets import is_bucket

    if is_bucket(root):
        raise UserError(
            f"`olivine data` works on a local folder, and {root} is a bucket: copy the data set "
            "there and back with the cloud's own tool."
        )
    return Path(root)


def _only_version(root: Path) -> str:
    from olivine.data.datasets.nuscenes.sources import versions

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
