"""The stages in this process: without Ray, with one worker, on the runtime's device."""

from olivine.core.devices import choose_device
from olivine.core.runtime import Runtime
from olivine.labels import job as labelling
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.tracking.tracker import Tracker
from olivine.training import evaluate as evaluating
from olivine.training import pretrain as pretraining
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.worker import LocalWorker


def label_here(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    selection: Selection = EVERY_NEW_IMAGE,
) -> labelling.LabelResult:
    """Label the remaining images of a data set."""
    device = choose_device(runtime.device)
    return labelling.label(config, runtime, tracker, device=device, selection=selection)


def pretrain_here(
    config: PretrainConfig, runtime: Runtime, tracker: Tracker, *, force: bool = False
) -> pretraining.PretrainResult:
    """Pretrain, or return the result of a finished run unless `force` is given."""
    worker = LocalWorker(choose_device(runtime.device))
    return pretraining.find_or_pretrain(config, runtime, worker, tracker, force=force)


def evaluate_here(
    config: EvaluateConfig, runtime: Runtime, tracker: Tracker, *, force: bool = False
) -> evaluating.EvaluateResult:
    """Evaluate after the pretraining that it needs, or return the result of a finished run.

    `force` runs both again.
    """
    worker = LocalWorker(choose_device(runtime.device))
    return evaluating.experiment(config, runtime, worker, tracker, force=force)
