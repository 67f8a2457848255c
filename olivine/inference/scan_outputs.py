"""Features and predictions of many scans, each written to a file as soon as it is computed.

One scan is in memory at a time. A call after an interruption continues with the remaining scans.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from olivine.core.errors import UserError, nearest
from olivine.core.progress import Progress, Report
from olivine.data.dataset import Dataset, Frames
from olivine.data.datasets.nuscenes.predictions import LidarsegPredictions
from olivine.data.datasets.semantic_kitti.predictions import SemanticKittiPredictions
from olivine.data.predictions import ArrayPredictions, PredictionFormat
from olivine.data.scans import Scan
from olivine.inference.encoder import PointClassifier, PointEncoder
from olivine.inference.networks import EvaluatedNetwork, PretrainedBackbone
from olivine.inference.output_folder import OutputFolder, WrittenFiles
from olivine.inference.scan_sources import FileScans, ScanSource, SplitScans
from olivine.models.backbones.base import Backbone

FEATURE_FILES, FEATURE_TYPES = ("npz", "npy"), ("float32", "float16")
AUTO = "auto"
FORMATS = (LidarsegPredictions, SemanticKittiPredictions, ArrayPredictions)


def write_features(
    backbone: PretrainedBackbone,
    scans: ScanSource,
    folder: str | Path,
    *,
    form: str = "npz",
    dtype: str = "float32",
    outside: str = "nearest",
    device: str = "auto",
    overwrite: bool = False,
    report: Report | None = None,
) -> WrittenFiles:
    """Write the features of every point of every scan below a folder or bucket.

    A scan's file is `<name>.npz` with the arrays features (points, channels), xyz_m and intensity,
    or `<name>.npy` with the features alone; row i is point i of the scan. The name is a file's
    without its suffix, or a frame's token. `outside` is that of `PointEncoder`. Raises UserError
    for a scan that cannot be used, for features that float16 cannot hold, and for a folder that
    holds results of another network or of other settings, unless `overwrite`.
    """
    _one_of("form", form, FEATURE_FILES)
    _one_of("dtype", dtype, FEATURE_TYPES)
    encoder = PointEncoder(backbone, device, outside)
    made_by = {
        "what": "features", "weights": backbone.weights_sha256(), "form": form, "dtype": dtype,
        "outside": outside, "num_channels": backbone.num_channels,
        **_beside_weights(backbone.config.backbone),
    }  # fmt: skip

    def compute(scan: Scan) -> bytes:
        features = _as_type(encoder(scan.xyz_m, scan.intensity), dtype)
        return _feature_file(features, scan, form)

    names = [f"{name}.{form}" for name in scans.names()]
    output = OutputFolder(folder, made_by)
    report = report or Progress("write_features", "scans")
    return _write_all(output, scans, names, compute, overwrite=overwrite, report=report)


def predict_files(
    evaluated: EvaluatedNetwork,
    scans: FileScans,
    folder: str | Path,
    *,
    form: str = AUTO,
    device: str = "auto",
    overwrite: bool = False,
    report: Report | None = None,
) -> WrittenFiles:
    """Write the class of every point of every file below a folder or bucket, one file per scan.

    `form` is nuscenes (`<name>_lidarseg.bin`, uint8 1 to 16), semantic_kitti (`<name>.label`,
    uint32), npy (`<name>.npy`, uint8 positions in the head's class names) or auto, the format of
    the data set whose classes the head has. Raises UserError as `write_features`, and for a format
    of other classes.
    """
    chosen = _format_of(form, evaluated.class_names)
    names = [chosen.file_name(name) for name in scans.names()]
    output = _predictions_in(folder, evaluated, chosen)
    compute = _predicting(evaluated, chosen, device)
    report = report or Progress("predict", "scans")
    return _write_all(output, scans, names, compute, overwrite=overwrite, report=report)


def predict_split(
    evaluated: EvaluatedNetwork,
    dataset: Dataset,
    frames: Frames,
    folder: str | Path,
    *,
    form: str = AUTO,
    device: str = "auto",
    overwrite: bool = False,
    report: Report | None = None,
) -> WrittenFiles:
    """Write the class of every point of a split, in its benchmark's format and tree of folders.

    `frames` are those of `dataset`. With `form` auto the format is the data set's own; nuScenes' is
    ready for nuscenes-devkit's evaluation and submission, SemanticKITTI's for semantic-kitti-api.
    Raises UserError as `predict_files`, and for a data set whose classes are not the head's.
    """
    require_classes(evaluated, frames)
    if form in (AUTO, dataset.prediction_format().kind):
        chosen = dataset.prediction_format()
    else:
        chosen = _format_of(form, evaluated.class_names)
    scans, names = SplitScans(frames), chosen.split_names(frames)
    output = _predictions_in(folder, evaluated, chosen)
    compute = _predicting(evaluated, chosen, device)
    report = report or Progress("predict", "scans")
    written = _write_all(output, scans, names, compute, overwrite=overwrite, report=report)
    for name, data in chosen.split_files(uses_images=evaluated.uses_images).items():
        output.write(name, data)
    return written


def require_classes(evaluated: EvaluatedNetwork, frames: Frames) -> None:
    """Raise UserError if a data set's classes are not those of the head."""
    mine, theirs = evaluated.class_names, tuple(frames.class_names)
    if mine == theirs:
        return
    differing = [name for name in theirs if name not in mine] or ["their order"]
    raise UserError(
        f"The head predicts {len(mine)} classes ({mine[0]}, {mine[1]}, ...) and the data set has "
        f"{len(theirs)} ({theirs[0]}, {theirs[1]}, ...), which differ in {differing[0]!r}: choose "
        "a data set with the classes of the evaluation, or predict its files one by one."
    )


def _predictions_in(
    folder: str | Path, evaluated: EvaluatedNetwork, chosen: PredictionFormat
) -> OutputFolder:
    made_by = {
        "what": "predictions", "weights": evaluated.weights_sha256(), "form": chosen.kind,
        "class_names": list(evaluated.class_names),
        **_beside_weights(evaluated.config.evaluated_backbone),
    }  # fmt: skip
    return OutputFolder(folder, made_by)


def _beside_weights(backbone: Backbone) -> dict[str, dict[str, Any]]:
    """Return what a network does otherwise than by default and its weights do not tell."""
    written, fields = backbone.to_dict(), type(backbone).model_fields
    settings = {
        name: written[name]
        for name in sorted(backbone.keeps_weights)
        if getattr(backbone, name) != fields[name].default
    }
    return {"network": settings} if settings else {}


def _predicting(
    evaluated: EvaluatedNetwork, chosen: PredictionFormat, device: str
) -> Callable[[Scan], bytes]:
    classifier = PointClassifier(evaluated, device)
    return lambda scan: chosen.to_bytes(classifier(scan.xyz_m, scan.intensity))


def _write_all(
    output: OutputFolder,
    scans: ScanSource,
    names: Sequence[str],
    compute: Callable[[Scan], bytes],
    *,
    overwrite: bool,
    report: Report,
) -> WrittenFiles:
    with output.opened(names, scans.stamps(), overwrite=overwrite) as missing:
        for number, place in enumerate(missing, start=1):
            try:
                data = compute(scans.read(place))
            except UserError as error:
                name = scans.names()[place]
                if name in str(error):
                    raise
                raise UserError(f"Scan {name}: {error}") from None
            output.write(names[place], data)
            report(number, len(missing))
    return WrittenFiles(output.folder, len(missing), len(names) - len(missing))


def _format_of(form: str, class_names: tuple[str, ...]) -> PredictionFormat:
    """Return a format by its kind; with auto, that of the data set with these classes."""
    formats = {one.kind: one() for one in FORMATS}
    if form == AUTO:
        fitting = (one for one in formats.values() if one.class_names == class_names)
        return next(fitting, formats[ArrayPredictions.kind])
    _one_of("form", form, (AUTO, *formats))
    chosen = formats[form]
    if chosen.class_names and chosen.class_names != class_names:
        raise UserError(
            f"form={form} writes the {len(chosen.class_names)} classes {chosen.class_names[0]}, "
            f"..., and the head predicts {len(class_names)} others ({class_names[0]}, ...): choose "
            "form=npy."
        )
    return chosen


def _as_type(features: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # the overflow is reported below
        cast = features.astype(dtype)
    if np.isinf(cast).any() and not np.isinf(features).any():
        largest = float(np.nanmax(np.abs(features)))
        raise UserError(
            f"float16 cannot hold its features, which go up to {largest:.3g}: write float32."
        )
    return cast


def _feature_file(features: np.ndarray, scan: Scan, form: str) -> bytes:
    stream = io.BytesIO()
    if form == "npy":
        np.save(stream, features, allow_pickle=False)
    else:
        np.savez(stream, features=features, xyz_m=scan.xyz_m, intensity=scan.intensity)
    return stream.getvalue()


def _one_of(name: str, given: str, allowed: Sequence[str]) -> None:
    if given not in allowed:
        raise UserError(
            f"{name} takes {', '.join(allowed)}; it was given {given!r}.{nearest(given, allowed)}"
        )
