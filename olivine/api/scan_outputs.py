"""Features and predictions of files and of whole splits, written to a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olivine.api.settings import checked_runtime
from olivine.core.arguments import require_type, shown
from olivine.core.errors import UserError
from olivine.core.progress import Report
from olivine.core.runtime import Runtime

if TYPE_CHECKING:
    from olivine.data.dataset import Dataset
    from olivine.inference.networks import EvaluatedNetwork, PretrainedBackbone
    from olivine.inference.output_folder import WrittenFiles


def embed(
    network: "str | Path | PretrainedBackbone",
    folder: str | Path,
    *,
    files: Sequence[str | Path] = (),
    split: str = "",
    data: "Dataset | Mapping[str, Any] | None" = None,
    form: str = "npz",
    dtype: str = "float32",
    outside: str = "nearest",
    runtime: Runtime | None = None,
    overwrite: bool = False,
    report: Report | None = None,
) -> "WrittenFiles":
    """Write the features of every point of some scans below `folder`, one file per scan.

    `network` is an argument or a result of `load_backbone`. The scans are `files` (nuScenes'
    .pcd.bin, SemanticKITTI's .bin, .npy, or folders of them), or all frames of a split: `split`
    names one of the network's own data set, `data` is another data set or settings that change that
    one, such as {"split": "test", "version": "v1.0-test"}. `runtime` has the paths of data and
    runs, and the device. Existing files are kept. `olivine.inference.scan_outputs.write_features`
    explains the other arguments and the errors.
    """
    from olivine.inference import scan_outputs
    from olivine.inference.loading import load_backbone
    from olivine.inference.networks import check_backbone_type
    from olivine.inference.scan_sources import FileScans, ScanSource, SplitScans, open_split

    runtime = checked_runtime(runtime)
    require_type("folder", folder, (str, Path), "a path or the URI of a bucket")
    _one_source(files, split, data)
    if isinstance(network, str | Path):
        network = load_backbone(network, out=runtime.out, tracking_uri=runtime.tracking_uri)
    check_backbone_type(network)
    if files:
        scans: ScanSource = FileScans.of(files)
    else:
        dataset = _dataset(network.config.data, split, data)
        scans = SplitScans(open_split(dataset, runtime))
    return scan_outputs.write_features(
        network, scans, folder, form=form, dtype=dtype, outside=outside, device=runtime.device,
        overwrite=overwrite, report=report,
    )  # fmt: skip


def predict(
    network: "str | Path | EvaluatedNetwork",
    folder: str | Path,
    *,
    files: Sequence[str | Path] = (),
    split: str = "",
    data: "Dataset | Mapping[str, Any] | None" = None,
    form: str = "auto",
    runtime: Runtime | None = None,
    overwrite: bool = False,
    report: Report | None = None,
) -> "WrittenFiles":
    """Write the class of every point of some scans below `folder`, one file per scan.

    `network` is an evaluation: an argument or a result of `load_segmenter`. `split` and `data`
    refer to the data set that the evaluation scored; the other arguments are those of `embed`.
    `predict_files` and `predict_split` of `olivine.inference.scan_outputs` explain the formats and
    errors.
    """
    from olivine.inference import scan_outputs
    from olivine.inference.loading import load_segmenter
    from olivine.inference.networks import check_evaluated_type
    from olivine.inference.scan_sources import FileScans, open_split

    runtime = checked_runtime(runtime)
    require_type("folder", folder, (str, Path), "a path or the URI of a bucket")
    _one_source(files, split, data)
    if isinstance(network, str | Path):
        network = load_segmenter(network, out=runtime.out, tracking_uri=runtime.tracking_uri)
    check_evaluated_type(network)
    if files:
        return scan_outputs.predict_files(
            network, FileScans.of(files), folder, form=form, device=runtime.device,
            overwrite=overwrite, report=report,
        )  # fmt: skip
    dataset = _dataset(network.config.val, split, data)
    return scan_outputs.predict_split(
        network, dataset, open_split(dataset, runtime), folder, form=form, device=runtime.device,
        overwrite=overwrite, report=report,
    )  # fmt: skip


def _one_source(files: Sequence[Any], split: str, data: Any) -> None:
    if isinstance(files, str | Path) or not isinstance(files, Sequence):
        given = repr(str(files)) if isinstance(files, Path) else shown(files)
        raise UserError(f"files takes a list of paths; it was given {given}.")
    for file in files:
        require_type("files", file, (str, Path), "a list of paths")
    require_type("split", split, str, "the name of a split")
    if bool(files) == bool(split or data is not None):
        raise UserError(
            "Give the scans either as files=[...] or as a split=... or data=... of a data set."
        )


def _dataset(own: "Dataset", split: str, data: "Dataset | Mapping[str, Any] | None") -> "Dataset":
    """Return the requested data set, without a label fraction."""
    from olivine.inference.scan_sources import whole_split

    changes = {"split": split} if split else {}
    from olivine.data.dataset import Dataset

    wanted = "a data set, or settings that change the network's own, such as {'split': 'test'}"
    require_type("data", data, (Dataset, Mapping, type(None)), wanted)
    if data is None or isinstance(data, Mapping):
        return whole_split(own, {**(data or {}), **changes})
    return whole_split(data, changes)
