"""What each command does: resolve the settings, hand the stage to its launcher, say what it left.

Stages run through `ray_jobs`, imported only then, or in this process by
`--set runtime.launcher=process`.
"""

import sys
from argparse import Namespace
from pathlib import Path

from olivine.config import EvaluateConfig, Runtime
from olivine.errors import UserError
from olivine.spec import parse_settings, read_yaml
from olivine.tracking import Tracker
from olivine.worker import LocalWorker

OK, INCOMPLETE = 0, 1


def run(arguments: Namespace) -> int:
    """Run the chosen command; return its exit status."""
    return {
        "data": _data,
        "label": _label,
        "label report": _label_report,
        "weights": _weights,
        "pretrain": _pretrain,
        "evaluate": _evaluate,
        "show": _show,
        "sweep": _sweep,
        "reproduce": _reproduce,
        "table": _table,
        "report": _report,
        "compare": _compare,
        "demo": _demo,
    }[arguments.command](arguments)


class Settings(EvaluateConfig):
    """All that a command line can set: an experiment, and where it runs."""

    runtime: Runtime = Runtime()


def resolve(arguments: Namespace, default: str = "demo") -> tuple[EvaluateConfig, Runtime]:
    """Return the experiment and the runtime of a recipe or a file, changed by `--set`."""
    from olivine.recipes import recipe

    name = getattr(arguments, "recipe", None)
    if arguments.config and name:
        raise UserError(f"Give a recipe ({name!r}) or --config {arguments.config}, not both.")
    if arguments.config:
        tree = read_yaml(Path(arguments.config))
    else:
        tree = recipe(name or default).to_dict()
    settings = Settings.from_dict(tree).override(parse_settings(arguments.set))
    resolved = settings.to_dict()
    del resolved["runtime"]
    return EvaluateConfig.from_dict(resolved), settings.runtime


def open_tracker(runtime: Runtime) -> Tracker:
    """Return the run store of the runtime, made if it is not there."""
    from olivine.mlflow_tracker import MlflowTracker

    tracker = MlflowTracker(runtime.store_uri())
    tracker.ensure_store()
    return tracker


def _data(arguments: Namespace) -> int:
    from olivine import data_commands

    return data_commands.run(arguments)


def _label(arguments: Namespace) -> int:
    from olivine import label_commands

    return label_commands.label(arguments)


def _label_report(arguments: Namespace) -> int:
    from olivine import label_commands

    return label_commands.report(arguments)


def _weights(arguments: Namespace) -> int:
    from olivine import weights_commands

    return weights_commands.run(arguments)


def _show(arguments: Namespace) -> int:
    import yaml

    experiment, runtime = resolve(arguments)
    tree = {**experiment.to_dict(), "runtime": runtime.to_dict()}
    sys.stdout.write(f"# fingerprint {experiment.fingerprint()}, without runtime\n")
    sys.stdout.write(yaml.safe_dump(tree, sort_keys=False))
    return OK


def _pretrain(arguments: Namespace) -> int:
    from olivine import pretrain as stage

    experiment, runtime = resolve(arguments)
    config, tracker = experiment.pretrained, open_tracker(runtime)
    if runtime.launcher == "process":
        result = stage.finished(config, runtime, tracker) or stage.pretrain(
            config, runtime, local_worker(runtime), tracker
        )
    else:
        from ray_jobs.pretrain import pretrain_on_ray
        from ray_jobs.session import ray_session

        with ray_session(runtime):
            result = pretrain_on_ray(config, runtime, tracker)
    say(f"Weights: {runtime.out}/{result.weights}", "evaluate", arguments)
    return OK


def _evaluate(arguments: Namespace) -> int:
    from olivine import evaluate as stage

    experiment, runtime = resolve(arguments)
    tracker = open_tracker(runtime)
    if runtime.launcher == "process":
        result = stage.experiment(experiment, runtime, local_worker(runtime), tracker)
    else:
        from ray_jobs.evaluate import evaluate_on_ray
        from ray_jobs.session import ray_session

        with ray_session(runtime):
            result = evaluate_on_ray(experiment, runtime, tracker)
    for name, score in result.scores.items():
        sys.stdout.write(f"{name:28s} {score:6.2f} %\n")
    where = f"Run {result.key.fingerprint} in {runtime.store_uri()}"
    say(where, "sweep components", arguments)
    return OK


def _sweep(arguments: Namespace) -> int:
    from olivine import sweep_commands

    return sweep_commands.sweep(arguments)


def _reproduce(arguments: Namespace) -> int:
    from olivine import sweep_commands

    return sweep_commands.reproduce(arguments)


def _table(arguments: Namespace) -> int:
    from olivine import table_commands

    return table_commands.run(arguments)


def _report(arguments: Namespace) -> int:
    from olivine import report_commands

    return report_commands.report(arguments)


def _compare(arguments: Namespace) -> int:
    from olivine import report_commands

    return report_commands.compare(arguments)


def _demo(arguments: Namespace) -> int:
    from ray_jobs.demo import demo

    return demo(arguments)


def local_worker(runtime: Runtime) -> LocalWorker:
    """Return this process as the only worker, on the device that the runtime names."""
    from olivine.training import choose_device

    return LocalWorker(choose_device(runtime.device))


def say(text: str, next_command: str, arguments: Namespace) -> None:
    """Name what was written, and the command that goes on from there."""
    words = ["olivine", *next_command.split(), *setting_words(arguments)]
    sys.stdout.write(f"{text}\nNext: {' '.join(words)}\n")


def setting_words(arguments: Namespace) -> list[str]:
    """Return the recipe and the settings of a command as they were given."""
    words = [arguments.recipe] if getattr(arguments, "recipe", None) else []
    if arguments.config:
        words += ["--config", arguments.config]
    for setting in arguments.set:
        words += ["--set", setting]
    return words
