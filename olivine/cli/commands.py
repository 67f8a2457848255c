"""What each command does: resolve the settings, hand the stage to its launcher, say what it left.

`olivine.runners.launch` runs a stage over Ray, or in this process by
`--set runtime.launcher=process`.
"""

import sys
from argparse import Namespace

from olivine.cli.settings import OK, open_tracker, resolve, say


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


def _data(arguments: Namespace) -> int:
    from olivine.cli import data_commands

    return data_commands.run(arguments)


def _label(arguments: Namespace) -> int:
    from olivine.cli import label_commands

    return label_commands.label(arguments)


def _label_report(arguments: Namespace) -> int:
    from olivine.cli import label_commands

    return label_commands.report(arguments)


def _weights(arguments: Namespace) -> int:
    from olivine.cli import weights_commands

    return weights_commands.run(arguments)


def _show(arguments: Namespace) -> int:
    import yaml

    experiment, runtime = resolve(arguments)
    tree = {**experiment.to_dict(), "runtime": runtime.to_dict()}
    sys.stdout.write(f"# fingerprint {experiment.fingerprint()}, without runtime\n")
    sys.stdout.write(yaml.safe_dump(tree, sort_keys=False))
    return OK


def _pretrain(arguments: Namespace) -> int:
    from olivine.runners import launch

    experiment, runtime = resolve(arguments)
    result = launch.pretrain(experiment.pretrained, runtime, open_tracker(runtime))
    say(f"Weights: {runtime.out}/{result.weights}", "evaluate", arguments)
    return OK


def _evaluate(arguments: Namespace) -> int:
    from olivine.runners import launch

    experiment, runtime = resolve(arguments)
    result = launch.evaluate(experiment, runtime, open_tracker(runtime))
    for name, score in result.scores.items():
        sys.stdout.write(f"{name:28s} {score:6.2f} %\n")
    where = f"Run {result.key.fingerprint} in {runtime.store_uri()}"
    say(where, "sweep components", arguments)
    return OK


def _sweep(arguments: Namespace) -> int:
    from olivine.cli import sweep_commands

    return sweep_commands.sweep(arguments)


def _reproduce(arguments: Namespace) -> int:
    from olivine.cli import sweep_commands

    return sweep_commands.reproduce(arguments)


def _table(arguments: Namespace) -> int:
    from olivine.cli import table_commands

    return table_commands.run(arguments)


def _report(arguments: Namespace) -> int:
    from olivine.cli import report_commands

    return report_commands.report(arguments)


def _compare(arguments: Namespace) -> int:
    from olivine.cli import report_commands

    return report_commands.compare(arguments)


def _demo(arguments: Namespace) -> int:
    from olivine.cli.demo import demo

    return demo(arguments)
