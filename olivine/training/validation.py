"""The scores of an evaluated network on the validation split, and their files."""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from olivine.core.collectives import sum_over_workers
from olivine.core.devices import autocast
from olivine.core.progress import Progress
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.class_names import NUSCENES
from olivine.data.dataset import Frames
from olivine.data.loader import validation_batches
from olivine.data.records import Sample
from olivine.data.samples import Samples, make_cloud
from olivine.data.schedule import one_pass
from olivine.training.config import EvaluateConfig
from olivine.training.loader_processes import num_loader_processes
from olivine.training.scene_counts import read_result_arrays
from olivine.training.segmentation import class_iou, mean_iou, scene_confusion
from olivine.training.segmenter import Segmenter, predict_classes
from olivine.training.worker import Worker


@dataclass(frozen=True)
class CloudReader:
    """Reads one scan with its true classes; picklable, for loader processes."""

    frames: Frames

    def __call__(self, index: int) -> Sample:
        """Return one scan without images."""
        return make_cloud(self.frames.frame(index, images=False))


@torch.no_grad()
def validate(
    config: EvaluateConfig, runtime: Runtime, worker: Worker, model: Segmenter, val: Frames
) -> tuple[Tensor, bytes]:
    """Return each scene's confusion matrix over all workers, and the first frame's predictions.

    Scenes are in the order of their first frame in the split.
    """
    names, num_classes = val.scenes(), len(val.class_names)
    index_of_scene = {name: index for index, name in enumerate(dict.fromkeys(names))}
    shape = len(index_of_scene), num_classes, num_classes
    counts = torch.zeros(shape, dtype=torch.long, device=worker.device)
    batch_keys = one_pass(len(val), config.batch_frames, worker.rank, worker.world_size)
    batches = validation_batches(
        Samples(CloudReader(val), [], config.seed),
        batch_keys,
        config.pretrained.voxels,
        num_loader_processes(runtime, worker),
        batch_source=worker.batch_source,
    )
    report, first = Progress("validation", "batches"), b""
    for done, (batch, keys) in enumerate(zip(batches, batch_keys, strict=True), start=1):
        here = batch.to(worker.device)
        with autocast(worker.device, config.precision):
            predicted = predict_classes(model, here)
        assert here.class_ids is not None
        scenes = torch.tensor([index_of_scene[names[frame]] for _, frame in keys]).to(worker.device)
        of_point = scenes[here.voxels.coordinates[here.voxels.voxel_of_point, 0].long()]
        counts += scene_confusion(here.class_ids, predicted, of_point, *shape[:2])
        if not first:
            first = _first_frame(val, predicted)
        report(done, len(batch_keys))
    return sum_over_workers(counts), first


def named_scores(counts: Tensor, class_names: tuple[str, ...], absent: str) -> dict[str, float]:
    """Return mIoU, accuracy and each class's IoU in percent; absent classes are left out."""
    iou = class_iou(counts)
    scores = {
        "miou": 100 * mean_iou(iou, absent),
        "accuracy": 100 * float(counts.diagonal().sum() / counts.sum().clamp(min=1)),
    }
    per_class = zip(class_names, iou.tolist(), strict=True)
    return scores | {
        f"iou/{name}": 100 * value for name, value in per_class if not math.isnan(value)
    }


def _first_frame(val: Frames, predicted: Tensor) -> bytes:
    frame = val.frame(0, images=False)
    assert frame.class_ids is not None
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        xyz_m=frame.xyz_m,
        truth=frame.class_ids,
        predicted=predicted[: len(frame.xyz_m)].cpu().numpy().astype(np.uint8),
        class_names=np.array(val.class_names),
    )
    return buffer.getvalue()


def read_predictions(store: Store, name: str) -> dict[str, np.ndarray]:
    """Return `xyz_m`, `truth`, `predicted` and `class_names` of the first validation frame.

    Raises UserError, with the way to make it again, for a damaged file.
    """
    arrays = read_result_arrays(store, name)
    return {"class_names": np.array(NUSCENES), **arrays}  # older files are always of nuScenes


def predictions_name(fingerprint: str) -> str:
    """Return the name of an experiment's first validation frame below `runtime.out`."""
    return f"evaluated/{fingerprint}/first_frame.npz"


def confusions_name(fingerprint: str) -> str:
    """Return the name of an experiment's `SceneCounts` below `runtime.out`."""
    return f"evaluated/{fingerprint}/confusions.npz"
