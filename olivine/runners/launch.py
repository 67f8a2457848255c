"""The one module that decides where a stage runs: in this process, or on Ray.

`runtime.launcher` decides it. Ray is imported only if it is needed. A sweep always runs on Ray
Tune, on a Ray of this machine if no cluster is named.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from olivine.core.runtime import Runtime
from olivine.experiments.limits import Limits
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.tracking.tracker import Tracker
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.experiment_data import require_pretraining_apart

if TYPE_CHECKING:
    from olivine.experiments.expanded_sweep import ExpandedSweep
    from olivine.labels.job import LabelResult
    from olivine.runners.on_ray.sweep import SweepResult
    from olivine.training.evaluate import EvaluateResult
    from olivine.training.pretrain import PretrainResult

NO_LIMITS = Limits()


def launch_labelling(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    selection: Selection = EVERY_NEW_IMAGE,
) -> "LabelResult":
    """Label the remaining images of a data set, or those of them that `selection` names."""
    if runtime.launcher == "process":
        from olivine.runners.in_process import label_here

        return label_here(config, runtime, tracker, selection)
    from olivine.runners.on_ray.label import label_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return label_on_ray(config, runtime, tracker, selection=selection)


def launch_pretraining(
    config: PretrainConfig | EvaluateConfig,
    runtime: Runtime,
    tracker: Tracker,
    *,
    force: bool = False,
) -> "PretrainResult":
    """Pretrain, or return the result of a finished run with the same settings and data.

    Of a whole experiment, its pretraining is run if it learns from no scene that the experiment
    scores; a pretraining alone is compared with nothing. `force` runs it again.
    """
    if isinstance(config, EvaluateConfig):
        require_pretraining_apart(config, runtime)
        config = config.pretrained
    if runtime.launcher == "process":
        from olivine.runners.in_process import pretrain_here

        return pretrain_here(config, runtime, tracker, force=force)
    from olivine.runners.on_ray.pretrain import pretrain_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return pretrain_on_ray(config, runtime, tracker, force=force)


def launch_evaluation(
    config: EvaluateConfig, runtime: Runtime, tracker: Tracker, *, force: bool = False
) -> "EvaluateResult":
    """Evaluate after the pretraining that it needs, or return the result of a finished run.

    `force` runs both again.
    """
    if runtime.launcher == "process":
        from olivine.runners.in_process import evaluate_here

        return evaluate_here(config, runtime, tracker, force=force)
    from olivine.runners.on_ray.evaluate import evaluate_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return evaluate_on_ray(config, runtime, tracker, force=force)


def launch_sweep(
    expanded: "ExpandedSweep",
    runtime: Runtime,
    tracker: Tracker,
    *,
    limits: Limits = NO_LIMITS,
    force: bool = False,
    log: Callable[[str], None] = print,
) -> "SweepResult":
    """Run the unfinished trials of a sweep; with `force`, also the finished ones.

    `log` gets one sentence per event.
    """
    from olivine.runners.on_ray.evaluate import trial
    from olivine.runners.on_ray.sweep import run_sweep

    expanded.keep_lists(runtime.out)
    begun = partial(trial, identities=expanded.identities())
    return run_sweep(expanded, begun, runtime, tracker, limits=limits, force=force, log=log)
