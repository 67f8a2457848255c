"""The commands about labels: make them, and say how far they can be trusted."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from olivine.commands import (
    INCOMPLETE,
    OK,
    local_worker,
    open_tracker,
    resolve,
    say,
    setting_words,
)
from olivine.config import label_config


def label(arguments: Namespace) -> int:
    """Label what is left of a recipe's data set; return the command's exit status."""
    experiment, runtime = resolve(arguments)
    config, tracker = label_config(experiment.pretrained), open_tracker(runtime)
    if runtime.launcher == "process":
        from olivine import label as stage

        result = stage.label(config, runtime, local_worker(runtime), tracker)
    else:
        from ray_jobs.label import label_on_ray
        from ray_jobs.session import ray_session

        with ray_session(runtime):
            result = label_on_ray(config, runtime, tracker)
    say(str(result), "pretrain", arguments)
    return INCOMPLETE if result.num_failed else OK


def report(arguments: Namespace) -> int:
    """Write numbers, pictures and a page about the labels; return the command's exit status."""
    from olivine.label_report import ReportConfig, label_report

    experiment, runtime = resolve(arguments)
    tokens = [token.strip() for token in arguments.frames.split(",") if token.strip()]
    config = ReportConfig.from_dict(
        {
            "labels": label_config(experiment.pretrained).to_dict(),
            "max_frames": arguments.max_frames,
            "frames": tokens,
        }
    )
    result = label_report(
        config,
        runtime,
        open_tracker(runtime),
        folder=Path(arguments.folder).absolute() if arguments.folder else None,
        command=_command(arguments),
    )
    sys.stdout.write("\n".join(result.lines) + "\n")
    page, *others = result.files
    say(f"Wrote {page} and {len(others)} files beside it.", "pretrain", arguments)
    return OK


def _command(arguments: Namespace) -> str:
    words = ["olivine", "label", "report", *setting_words(arguments)]
    words += ["--max-frames", str(arguments.max_frames)]
    for name in ("frames", "folder"):
        if getattr(arguments, name):
            words += [f"--{name}", getattr(arguments, name)]
    return shlex.join(words)
