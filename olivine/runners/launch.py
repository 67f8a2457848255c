"""The one place that decides where a stage runs: in this process, or over Ray.

`runtime.launcher` says which. Ray is imported only if it is wanted. A sweep always runs over Ray
Tune, on a Ray of this machine if no cluster is named.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from olivine.core.runtime import Runtime
from olivine.experiments.limits import Limits
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.tracking.tracker import Tracker
from olivine.training.config import EvaluateConfig, PretrainConfig

if TYPE_CHECKING:
    from olivine.experiments.question import Question
    from olivine.labels.job import LabelResult
    from olivine.runners.on_ray.sweep import SweepOutcome
    from olivine.training.evaluate import EvaluateResult
    from olivine.training.pretrain import PretrainResult

NO_LIMITS = Limits()


def launch_labelling(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    selection: Selection = EVERY_NEW_IMAGE,
) -> "LabelResult":
    """Label the images of a data set that are left; `selection` says which of them."""
    if runtime.launcher == "process":
        from olivine.runners.in_process import label_here

        return label_here(config, runtime, tracker, selection)
    from olivine.runners.on_ray.label import label_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return label_on_ray(config, runtime, tracker, selection=selection)


def launch_pretraining(
    config: PretrainConfig, runtime: Runtime, tracker: Tracker, *, force: bool = False
) -> "PretrainResult":
    """Pretrain, or return what a finished run of the same settings and data left.

    `force` runs it again if it is finished.
    """
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
    """Evaluate after the pretraining that it needs; what is finished is returned as it is.

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
    question: "Question",
    runtime: Runtime,
    tracker: Tracker,
    *,
    limits: Limits = NO_LIMITS,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> "SweepOutcome":
    """Run the trials of a question that are not finished; `force` runs the finished ones too."""
    from olivine.runners.on_ray.evaluate import trial
    from olivine.runners.on_ray.sweep import run_sweep

    return run_sweep(question, trial, runtime, tracker, limits=limits, force=force, say=say)
