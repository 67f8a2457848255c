"""`olivine label` and `olivine label report`: weak labels and their quality."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olivine.cli.options import Changes, Config, DryRun, Folder, Json, Recipe, at_least, items_of
from olivine.cli.output import write_json, write_line, write_next
from olivine.cli.stores import existing_tracker, open_tracker
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.core.runtime import Runtime
    from olivine.experiments.requests import ExperimentRequest
    from olivine.labels.config import LabelConfig, Selection

NUM_MEASURED = 100  # images to measure the time of one


def label(
    recipe: Recipe = "",
    config: Config = "",
    changes: Changes = None,
    dry_run: DryRun = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", help="Label only the first N of the remaining images."
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Label only the images that failed before.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove the existing maps and make all again.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take over maps of a version before 0.3, which do not record their images.",
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    """Write weak labels for every image, on Ray Data.

    A method that reads weak labels and segments has two jobs, one after the other. The exit status
    is 1 if images could not be labelled.
    """
    from olivine.experiments.requests import ExperimentRequest
    from olivine.labels.config import Selection
    from olivine.training.config import label_configs

    request = ExperimentRequest(recipe, config, tuple(changes or ()))
    experiment, runtime = request.resolve()
    if force and (dry_run or retry_failed):
        raise UserError("--force removes all maps: give it without --dry-run and --retry-failed.")
    most = None if limit is None else at_least(limit, 1, "--limit")
    if adopt and (dry_run or force):
        raise UserError(
            "--adopt keeps the maps that are there: give it without --dry-run, --force."
        )
    selection = Selection(most, retry_failed=retry_failed, force=force, adopt=adopt)
    run = _plan if dry_run else _label
    jobs = [run(one, runtime, selection, request) for one in label_configs(experiment.pretrained)]
    if as_json:
        write_json([facts for _, facts, _ in jobs])
    else:
        for text, _, following in jobs:
            write_line(text)
            if following:
                write_next(following)
    return max(int(facts.get("num_failed", 0) > 0) for _, facts, _ in jobs)


Job = tuple[str, dict[str, Any], list[str]]  # the text, the same as values, and the next command


def _label(
    config: "LabelConfig", runtime: "Runtime", selection: "Selection", request: "ExperimentRequest"
) -> Job:
    from olivine.runners.launch import launch_labelling

    result = launch_labelling(config, runtime, open_tracker(runtime), selection)
    following = "label" if result.num_postponed else "pretrain"
    facts = {
        "path": result.path,
        "run": result.fingerprint,
        "num_images": result.num_images,
        "num_done_before": result.num_done_before,
        "num_labelled": result.num_labelled,
        "num_failed": result.num_failed,
        "num_postponed": result.num_postponed,
        "num_outdated": result.num_outdated,
        "reused": [str(one) for one in result.reused],
        "failed": dict(result.failed),
        **result.quality.metrics(),
    }
    text = "\n".join([*map(str, result.reused), str(result)])
    return text, facts, [following, *request.arguments()]


def _plan(
    config: "LabelConfig", runtime: "Runtime", selection: "Selection", request: "ExperimentRequest"
) -> Job:
    from olivine.experiments.requests import command
    from olivine.labels.job_plan import plan_label_job

    plan = plan_label_job(config, runtime, existing_tracker(runtime), selection)
    measure = command("label", *request.arguments(), "--limit", str(NUM_MEASURED))
    facts = {
        "path": plan.path,
        "num_images": plan.num_images,
        "num_finished": plan.num_finished,
        "num_failed_before": plan.num_failed_before,
        "num_left": plan.num_left,
        "mean_image_bytes": plan.mean_image_bytes,
        "mean_map_bytes": plan.mean_map_bytes,
        "measured": vars(plan.measured) if plan.measured else None,
    }
    return "\n".join(plan.lines(measure)), facts, []


def report(
    recipe: Recipe = "",
    config: Config = "",
    changes: Changes = None,
    frames: Annotated[
        str,
        typer.Option(
            "--frames",
            metavar="TOKEN,…",
            help="Frames to draw, by token (default: 3 of them).",
            show_default=False,
        ),
    ] = "",
    max_frames: Annotated[
        int, typer.Option("--max-frames", metavar="N", help="Number of frames to count; 0: all.")
    ] = 40,
    folder: Folder = "",
    as_json: Json = False,
) -> int:
    """Report the quality of the labels in numbers and pictures."""
    from olivine.experiments.requests import ExperimentRequest, command
    from olivine.results.label_report.report import ReportConfig, label_report
    from olivine.training.config import label_config

    request = ExperimentRequest(recipe, config, tuple(changes or ()))
    experiment, runtime = request.resolve()
    again = ["label", "report", *request.arguments(), "--max-frames", str(max_frames)]
    again += ["--frames", frames] if frames else []
    again += ["--folder", folder] if folder else []
    result = label_report(
        ReportConfig.from_dict(
            {
                "labels": label_config(experiment.pretrained).to_dict(),
                "max_frames": at_least(max_frames, 0, "--max-frames"),
                "frames": items_of(frames),
            }
        ),
        runtime,
        open_tracker(runtime),
        folder=Path(folder).absolute() if folder else None,
        command=command(*again),
    )
    page, *others = result.files
    if as_json:
        write_json({"page": page, "files": result.files, "lines": result.lines})
        return 0
    write_line("\n".join(result.lines))
    write_line(f"Wrote {page} and {len(others)} files beside it.")
    write_next(["pretrain", *request.arguments()])
    return 0
