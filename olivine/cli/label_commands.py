"""The commands about labels: make them, and say how far they can be trusted."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from olivine.cli.settings import INCOMPLETE, OK, open_tracker, resolve, say, setting_words
from olivine.core.runtime import Runtime
from olivine.labels.config import LabelConfig
from olivine.tracking.tracker import NullTracker, Tracker
from olivine.training.config import label_config, label_configs

if TYPE_CHECKING:
    from olivine.labels.config import Selection

NUM_MEASURED = 100  # images that say how long one takes


def label(arguments: Namespace) -> int:
    """Label what is left of a recipe's data set; return the command's exit status.

    A method that reads weak labels and segments has two jobs, one after the other.
    """
    experiment, runtime = resolve(arguments)
    return max(
        _label(config, runtime, arguments) for config in label_configs(experiment.pretrained)
    )


def _label(config: LabelConfig, runtime: Runtime, arguments: Namespace) -> int:
    from olivine.labels.config import Selection
    from olivine.runners import launch

    selection = Selection(limit=arguments.limit, retry_failed=arguments.retry_failed)
    if arguments.dry_run:
        return _plan(config, runtime, selection, arguments)
    result = launch.label(config, runtime, open_tracker(runtime), selection)
    say(str(result), "label" if result.num_postponed else "pretrain", arguments)
    return INCOMPLETE if result.num_failed else OK


def _plan(
    config: LabelConfig, runtime: Runtime, selection: "Selection", arguments: Namespace
) -> int:
    from olivine.labels.plan import plan_label_job

    plan = plan_label_job(config, runtime, existing_tracker(runtime), selection)
    words = ["olivine", "label", *setting_words(arguments), "--limit", str(NUM_MEASURED)]
    sys.stdout.write("\n".join(plan.lines(shlex.join(words))) + "\n")
    return OK


def existing_tracker(runtime: Runtime) -> Tracker:
    """Return the run store if it is there, without making one."""
    file = runtime.store_uri().removeprefix("sqlite:///")
    if file != runtime.store_uri() and not Path(file).exists():
        return NullTracker()
    return open_tracker(runtime)


def report(arguments: Namespace) -> int:
    """Write numbers, pictures and a page about the labels; return the command's exit status."""
    from olivine.results.label_report.report import ReportConfig, label_report

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
