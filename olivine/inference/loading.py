"""Loads networks from files, folders, buckets and runs."""

from pathlib import Path

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.inference.networks import (
    BACKBONE_FILE,
    EvaluatedNetwork,
    PretrainedBackbone,
    check_hash,
    read_backbone,
    read_evaluation,
    read_segmenter,
)
from olivine.inference.runs import BackboneFile, EvaluationFolder, files_of_run, looks_like_run


def load_backbone(
    source: str | Path, *, out: str | Path = "runs", tracking_uri: str = ""
) -> PretrainedBackbone:
    """Return a 3D backbone with the weights of a pretraining or of an evaluation.

    `source` is a file (`backbone.pt`, or one of `EvaluatedNetwork.save`), the folder of a run
    (`<out>/pretrained/<fingerprint>`, `<out>/evaluated/<fingerprint>`), either of them in a bucket,
    or a run: its id in MLflow, `runs:/ID`, a fingerprint, or the beginning of one of these. `out`
    is the folder or bucket of the runs, as `runtime.out`; `tracking_uri` is the URI of their store,
    if that is not the one in `out`. The backbone of an evaluation is the one that it scored. Raises
    UserError for an unknown, ambiguous or unfinished run, for weights that are gone or were changed
    after they were logged, and for other kinds of files.
    """
    found = _located(str(source), isinstance(source, Path), str(out), tracking_uri)
    if isinstance(found, EvaluationFolder):
        return read_evaluation(found.store, found.config_yaml).backbone
    data = found.store.read(found.name)
    if found.sha256:
        check_hash(data, found.sha256, found.path)
    return read_backbone(data, found.path)


def load_segmenter(
    source: str | Path, *, out: str | Path = "runs", tracking_uri: str = ""
) -> EvaluatedNetwork:
    """Return an evaluation's network, whose head predicts classes.

    Arguments and errors are those of `load_backbone`; a pretraining also raises UserError, because
    it has no head.
    """
    found = _located(str(source), isinstance(source, Path), str(out), tracking_uri)
    if isinstance(found, EvaluationFolder):
        return read_evaluation(found.store, found.config_yaml)
    return read_segmenter(found.store.read(found.name), found.path)


def read_logged_backbone(source: str, sha256: str) -> PretrainedBackbone:
    """Return the backbone of a model in MLflow, which stores its file's name and hash.

    Raises UserError if the file has changed since.
    """
    file = _file(source)
    data = file.store.read(file.name)
    check_hash(data, sha256, source)
    return read_backbone(data, source)


def _located(
    source: str, is_path: bool, out: str, tracking_uri: str
) -> BackboneFile | EvaluationFolder:
    if not is_path and looks_like_run(source) and not Path(source).exists():
        return files_of_run(source, Runtime(out=out, tracking_uri=tracking_uri))
    if is_bucket(source) and not source.endswith(".pt"):
        return _in_folder(source)
    if not is_bucket(source) and Path(source).is_dir():
        return _in_folder(source)
    if not (is_path or is_bucket(source) or "/" in source or Path(source).exists()):
        raise UserError(
            f"{source!r} is neither a file nor a run: give a path, a run's id, a fingerprint (12 "
            "digits 0 to 9 and a to f), or the beginning of one."
        )
    return _file(source)


def _in_folder(source: str) -> BackboneFile | EvaluationFolder:
    store = Store(source)
    if store.exists(BACKBONE_FILE):
        return BackboneFile(store, BACKBONE_FILE)
    return EvaluationFolder(store)


def _file(source: str) -> BackboneFile:
    folder, _, name = source.rpartition("/")
    return BackboneFile(Store(folder or ("/" if source.startswith("/") else ".")), name)
