"""Where a stage runs, by `runtime.launcher`: in this process, or on Ray."""

from olivine.core.devices import choose_device
from olivine.core.runtime import Runtime
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.job import LabelResult
from olivine.tracking.tracker import Tracker
from olivine.training import evaluate, pretrain
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.evaluate import EvaluateResult
from olivine.training.pretrain import PretrainResult
from olivine.training.worker import LocalWorker


def launch_labelling(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    selection: Selection = EVERY_NEW_IMAGE,
) -> LabelResult:
    """Label what is left of a data set."""
    if runtime.launcher == "process":
        from olivine.labels.job import label

        device = choose_device(runtime.device)
        return label(config, runtime, tracker, device=device, selection=selection)
    from olivine.runners.on_ray.label import label_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return label_on_ray(config, runtime, tracker, selection=selection)


def launch_pretraining(
    config: PretrainConfig, runtime: Runtime, tracker: Tracker, *, force: bool = False
) -> PretrainResult:
    """Pretrain, or return what an earlier run left, unless `force` runs it again."""
    if runtime.launcher == "process":
        worker = _local_worker(runtime)
        return pretrain.find_or_pretrain(config, runtime, worker, tracker, force=force)
    from olivine.runners.on_ray.pretrain import pretrain_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return pretrain_on_ray(config, runtime, tracker, force=force)


def launch_evaluation(
    config: EvaluateConfig, runtime: Runtime, tracker: Tracker, *, force: bool = False
) -> EvaluateResult:
    """Pretrain if need be and evaluate, or return what an earlier run found.

    `force` runs both again.
    """
    if runtime.launcher == "process":
        worker = _local_worker(runtime)
        return evaluate.experiment(config, runtime, worker, tracker, force=force)
    from olivine.runners.on_ray.evaluate import evaluate_on_ray
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        return evaluate_on_ray(config, runtime, tracker, force=force)


def _local_worker(runtime: Runtime) -> LocalWorker:
    return LocalWorker(choose_device(runtime.device))
