"""The commands about labels: make them, and say how far they can be trusted."""

from argparse import Namespace

from olivine.commands import INCOMPLETE, OK, local_worker, open_tracker, resolve, say
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
