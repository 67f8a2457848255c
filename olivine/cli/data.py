"""`olivine data synth` and `olivine data check`: make a synthetic data set, check a real one."""

import os
from collections import Counter
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
    manifest: Annotated[
        str,
        typer.Option(
            "--hash",
            metavar="FILE",
            help="Instead, compare all contents with this manifest of SHA-256 sums, or write it "
            "if it is not there.",
            show_default=False,
        ),
    ] = "",
    as_json: Json = False,
) -> int:
    """List every missing, broken or inconsistent file of a data set."""
    if manifest:
        return _check_contents(root, manifest, at_least(threads, 1, "--threads"), as_json=as_json)
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


def _check_contents(root: str, manifest: str, threads: int, *, as_json: bool) -> int:
    """Write the manifest of a data set's contents, or compare the data set with it."""
    from olivine.core.progress import Progress
    from olivine.data.identity.checksums import compare_with_manifest, write_manifest

    path, progress = Path(manifest).expanduser(), Progress("Hashing", "files")
    if not path.exists():
        num_files = write_manifest(root, path, threads, progress)
        if as_json:
            write_json({"root": root, "manifest": str(path), "num_files": num_files})
        else:
            write_line(f"Wrote the SHA-256 sums of {num_files} files below {root} to {path}.")
        return 0
    found = compare_with_manifest(root, path, threads, progress)
    differences = found.differences
    if as_json:
        listed = [one._asdict() for one in differences]
        write_json({"root": root, "num_files": found.num_files, "differences": listed})
    elif differences:
        write_rows(("file", "problem", "detail"), [tuple(one) for one in differences])
        kinds = Counter(one.kind for one in differences)
        counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        write_line(f"{counted}, of {found.num_files} files in {path}.")
    else:
        write_line(f"All {found.num_files} files of {path} are below {root} as they were.")
    return FOUND_PROBLEMS if differences else 0


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
