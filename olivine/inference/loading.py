"""Loads networks from files, folders, buckets and runs."""

import os
import re
from pathlib import Path

from olivine.core.arguments import require_type, shown
from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.inference.networks import (
    BACKBONE_FILE,
    CHECKPOINTS,
    NOTE_FILE,
    EvaluatedNetwork,
    PretrainedBackbone,
    check_hash,
    read_backbone,
    read_evaluation,
    read_segmenter,
)
from olivine.inference.runs import BackboneFile, EvaluationFolder, files_of_run, looks_like_run

_NETWORKS = (
    "A network is named by the path of its file or folder, a run's id, a fingerprint, or the "
    "beginning of one;"
)


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
    found = _located(source, out, tracking_uri)
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
    found = _located(source, out, tracking_uri)
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
    given: str | Path, out: str | Path, tracking_uri: str
) -> BackboneFile | EvaluationFolder:
    if not isinstance(given, str | Path):
        raise UserError(f"{_NETWORKS} it was given {shown(given)}.")
    if isinstance(given, str) and not given.strip():
        raise UserError(f"{_NETWORKS} it was given an empty text.")
    require_type("out", out, (str, Path), "a folder or the URI of a bucket")
    require_type("tracking_uri", tracking_uri, str, "the URI of a run store")
    source = str(given) if is_bucket(given) else os.path.expanduser(given)
    exists = not is_bucket(source) and Path(source).exists()
    if isinstance(given, str) and not exists:
        if looks_like_run(source):
            return files_of_run(source, Runtime(out=str(out), tracking_uri=tracking_uri))
        if source.startswith("runs:"):
            raise UserError(
                f"{source!r} names no run: after runs:/ stands the id of a run in MLflow, or its "
                "beginning, in digits 0 to 9 and a to f."
            )
        if "/" not in source:
            raise UserError(
                f"{source!r} is neither a file nor a run: give a path, a run's id, a fingerprint "
                "(12 digits 0 to 9 and a to f), or the beginning of one."
            )
    is_folder = not source.endswith(".pt") if is_bucket(source) else Path(source).is_dir()
    return _in_folder(source) if is_folder else _file(source)


def _in_folder(source: str) -> BackboneFile | EvaluationFolder:
    store = Store(source)
    if store.exists(BACKBONE_FILE):
        return BackboneFile(store, BACKBONE_FILE)
    folders = store.folders()
    if store.exists(NOTE_FILE) or CHECKPOINTS in folders:
        return EvaluationFolder(store)
    runs = sorted(name for name in folders if re.fullmatch(r"[0-9a-f]{12}", name))
    example = f" Of its {len(runs)} folders of runs, name one, such as {runs[0]}." if runs else ""
    raise UserError(
        f"{source!r} is no folder of a run, with a {BACKBONE_FILE} or a {NOTE_FILE}: give "
        f"<out>/pretrained/<fingerprint> or <out>/evaluated/<fingerprint>.{example}"
    )


def _file(source: str) -> BackboneFile:
    folder, _, name = source.rpartition("/")
    return BackboneFile(Store(folder or ("/" if source.startswith("/") else ".")), name)
