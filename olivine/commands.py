"""What each command does: resolve the settings, hand the stage to its launcher, say what it left.

Stages run through `ray_jobs`, imported only then, or in this process by
`--set runtime.launcher=process`.
"""

import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olivine.config import EvaluateConfig, Runtime, label_config
from olivine.errors import UserError, nearest
from olivine.spec import parse_settings, read_yaml
from olivine.tracking import Tracker
from olivine.worker import LocalWorker

OK, INCOMPLETE = 0, 1


def run(arguments: Namespace) -> int:
    """Run the chosen command; return its exit status."""
    return {
        "data": _data,
        "label": _label,
        "pretrain": _pretrain,
        "evaluate": _evaluate,
        "show": _show,
        "sweep": _sweep,
        "table": _table,
        "demo": _demo,
    }[arguments.command](arguments)


def resolve(arguments: Namespace, default: str = "demo") -> tuple[EvaluateConfig, Runtime]:
    """Return the experiment and the runtime of a recipe, a file and `--set`, in this order."""
    from olivine.recipes import recipe

    runtime = Runtime()
    name = getattr(arguments, "recipe", None)
    tree = read_yaml(Path(arguments.config)) if arguments.config else {}
    runtime = runtime.override(_flat(tree.pop("runtime", {})))
    if tree and name:
        raise UserError(f"Give a recipe ({name!r}) or --config {arguments.config}, not both.")
    experiment = EvaluateConfig.from_dict(tree) if tree else recipe(name or default)
    settings = parse_settings(arguments.set)
    own = {key: value for key, value in settings.items() if not key.startswith("runtime.")}
    elsewhere = {key[8:]: value for key, value in settings.items() if key.startswith("runtime.")}
    try:
        return experiment.override(own), runtime.override(elsewhere)
    except UserError as error:
        raise UserError(_with_nearest(str(error), settings, experiment, runtime)) from None


def open_tracker(runtime: Runtime) -> Tracker:
    """Return the run store of the runtime, made if it is not there."""
    from olivine.mlflow_tracker import MlflowTracker

    tracker = MlflowTracker(runtime.store_uri())
    tracker.ensure_store()
    return tracker


def _data(arguments: Namespace) -> int:
    from olivine import data_commands

    return data_commands.run(arguments)


def _show(arguments: Namespace) -> int:
    import yaml

    experiment, runtime = resolve(arguments)
    tree = {**experiment.to_dict(), "runtime": runtime.to_dict()}
    sys.stdout.write(f"# fingerprint {experiment.fingerprint()}, without runtime\n")
    sys.stdout.write(yaml.safe_dump(tree, sort_keys=False))
    return OK


def _label(arguments: Namespace) -> int:
    experiment, runtime = resolve(arguments)
    config, tracker = label_config(experiment.pretrained), open_tracker(runtime)
    if runtime.launcher == "process":
        from olivine.label import label

        result = label(config, runtime, _local_worker(runtime), tracker)
    else:
        from ray_jobs.label import label_on_ray
        from ray_jobs.session import ray_session

        with ray_session(runtime):
            result = label_on_ray(config, runtime, tracker)
    _say(str(result), "pretrain", arguments)
    return INCOMPLETE if result.num_failed else OK


def _pretrain(arguments: Namespace) -> int:
    from olivine import pretrain as stage

    experiment, runtime = resolve(arguments)
    config, tracker = experiment.pretrained, open_tracker(runtime)
    if runtime.launcher == "process":
        result = stage.finished(config, runtime, tracker) or stage.pretrain(
            config, runtime, _local_worker(runtime), tracker
        )
    else:
        from ray_jobs.pretrain import pretrain_on_ray
        from ray_jobs.session import ray_session

        with ray_session(runtime, log_to_driver=True):
            result = pretrain_on_ray(config, runtime, tracker)
    _say(f"Weights: {runtime.out}/{result.weights}", "evaluate", arguments)
    return OK


def _evaluate(arguments: Namespace) -> int:
    from olivine import evaluate as stage

    experiment, runtime = resolve(arguments)
    tracker = open_tracker(runtime)
    if runtime.launcher == "process":
        result = stage.experiment(experiment, runtime, _local_worker(runtime), tracker)
    else:
        from ray_jobs.evaluate import evaluate_on_ray
        from ray_jobs.session import ray_session

        with ray_session(runtime, log_to_driver=True):
            result = evaluate_on_ray(experiment, runtime, tracker)
    for name, score in result.scores.items():
        sys.stdout.write(f"{name:28s} {score:6.2f} %\n")
    where = f"Run {result.key.fingerprint} in {runtime.store_uri()}"
    _say(where, "sweep components", arguments)
    return OK


def _sweep(arguments: Namespace) -> int:
    from ray_jobs import sweep as job

    return job.command(arguments)


def _table(arguments: Namespace) -> int:
    raise UserError("not yet")


def _demo(arguments: Namespace) -> int:
    raise UserError("not yet")


def _local_worker(runtime: Runtime) -> LocalWorker:
    from olivine.training import choose_device

    return LocalWorker(choose_device(runtime.device))


def _say(text: str, next_command: str, arguments: Namespace) -> None:
    """Name what was written, and the command that goes on from there."""
    words = ["olivine", next_command]
    if getattr(arguments, "recipe", None):
        words.append(arguments.recipe)
    if arguments.config:
        words += ["--config", arguments.config]
    for setting in arguments.set:
        words += ["--set", setting]
    sys.stdout.write(f"{text}\nNext: {' '.join(words)}\n")


def _flat(tree: Any) -> Mapping[str, Any]:
    if not isinstance(tree, dict):
        raise UserError(f"`runtime` in a settings file takes name: value, not {tree!r}.")
    return tree


def _with_nearest(
    text: str, settings: Mapping[str, Any], experiment: EvaluateConfig, runtime: Runtime
) -> str:
    """Add the nearest whole name where a setting's first word is already unknown."""
    known = [*experiment.flatten(), *(f"runtime.{name}" for name in runtime.flatten())]
    for name in settings:
        if f"{name!r}" in text and "Did you mean" not in text:
            return text + nearest(name, known)
    return text
