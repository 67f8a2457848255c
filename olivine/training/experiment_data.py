"""The data sets of one experiment, each opened once, and the guard against leaks.

No scene that a network learns from may be one that it is scored on. A network learns from the scans
of its pretraining, also without labels, from what is made of them (weak labels, segments,
superpoints: of the same scenes), from the labels of the evaluation's training split, and from what
made the weights that it starts from. Files of other programs, teachers and labels do not say what
they have seen.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olivine.core.errors import UserError
from olivine.core.file_stats import FolderStats
from olivine.core.runtime import Runtime
from olivine.core.storage import absolute
from olivine.data.dataset import Dataset, Frames
from olivine.data.identity.split import SplitIdentity, identity_of
from olivine.data.scenes import OVERLAP_TAG, PRETRAINING, TRAINING, SceneSet, folder_of
from olivine.training.config import EvaluateConfig, PretrainConfig

Identities = Mapping[str, SplitIdentity]  # by the settings of a data set
NOT_READ: Identities = {}
OVERLAP = "overlap"  # the entry of runtime.allow
START = "pretrained.backbone.weights"
SCENES = "scenes"  # in a file of weights: the scenes that they learnt from
log = logging.getLogger("olivine")


class OpenedData:
    """The data sets of one stage, or of all trials of a sweep, each opened once.

    They are opened when they are first asked for, and each folder of files is read once. With
    `known`, the identities that another process read, no file is looked at here.
    """

    def __init__(self, runtime: Runtime, known: Identities = NOT_READ):
        self._runtime, self._known = runtime, known
        self._frames: dict[str, Frames] = {}
        self._stats: dict[str, FolderStats] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs, which opens the data sets again."""
        return {**vars(self), "_known": self.identities(), "_frames": {}, "_stats": {}}

    def open(self, dataset: Dataset) -> Frames:
        """Return a data set's frames; raise UserError if they are not there."""
        name = json.dumps(dataset.to_dict(), sort_keys=True)
        if name not in self._frames:
            root = self._runtime.data_path()
            place = dataset.place(root)
            stats = self._stats.setdefault(str(place), FolderStats(place))
            frames = dataset.open(root, self._runtime.cache_path(), stats)
            if name in self._known:
                identity_of(frames).become(self._known[name])
            self._frames[name] = frames
        return self._frames[name]

    def identities(self) -> Identities:
        """Return the identities read so far, by their data sets, to be sent to other processes."""
        return {**self._known, **{name: identity_of(one) for name, one in self._frames.items()}}


@dataclass(frozen=True)
class ExperimentData:
    """The opened data sets of an experiment."""

    pretrain: Frames  # read by the pretraining
    train: Frames  # with labels, to train on
    val: Frames  # with labels, to score on

    @classmethod
    def open(
        cls, config: EvaluateConfig, runtime: Runtime, opened: OpenedData | None = None
    ) -> "ExperimentData":
        """Return the data sets that `config` names, those that `opened` has as it has them.

        Raises UserError for a data set, a split or a file that is not there.
        """
        opened = opened or OpenedData(runtime)
        datasets = config.pretrained.data, config.train, config.val
        return cls(*(opened.open(dataset) for dataset in datasets))

    def identities(self, config: EvaluateConfig) -> Identities:
        """Return the three identities by their data sets, to be sent to the workers of a run."""
        datasets = (config.pretrained.data, config.train, config.val)
        frames = (self.pretrain, self.train, self.val)
        return {
            json.dumps(dataset.to_dict(), sort_keys=True): identity_of(one)
            for dataset, one in zip(datasets, frames, strict=True)
        }

    def require_labels(self) -> None:
        """Raise UserError if point labels are missing or the two sets have different classes."""
        train, val = self.train, self.val
        if train.class_names != val.class_names:
            raise UserError(
                f"train has {len(train.class_names)} classes ({train.class_names[0]}, ...) and val "
                f"has {len(val.class_names)} ({val.class_names[0]}, ...): set train.kind and "
                "val.kind to one data set."
            )
        for name, frames in (("train", train), ("val", val)):
            if frames.frame(0, images=False).class_ids is None:
                raise UserError(
                    f"Frame {frames.tokens()[0]} of {frames.root} has no point labels, and {name} "
                    f"needs them: set {name}.split to one that has them (of nuScenes, unpack "
                    "lidarseg)."
                )


def require_apart(config: EvaluateConfig, data: ExperimentData, runtime: Runtime) -> str:
    """Return what an experiment learns of the scenes that it scores; "" if there is none.

    Raises UserError that names such scenes unless runtime.allow has "overlap".
    """
    found = overlap_of(config, data)
    if found and OVERLAP not in runtime.allow:
        raise UserError(_refusal(found))
    return found


def overlap_of(config: EvaluateConfig, data: ExperimentData) -> str:
    """Return what an experiment learns of the scenes that it scores, as a text; "" for nothing."""
    val = SceneSet.of(config.val, data.val)
    learnt = (*_learnt_before(config.pretrained, data.pretrain), _labelled(config, data))
    return _learnt_text(val, learnt)


def overlap_tags(
    config: EvaluateConfig, *, runtime: Runtime, opened: OpenedData | None = None
) -> dict[str, str]:
    """Return the tag of a run with this experiment's score; raise UserError as `require_apart`."""
    found = require_apart(config, ExperimentData.open(config, runtime, opened), runtime)
    return {OVERLAP_TAG: found} if found else {}


def require_pretraining_apart(config: EvaluateConfig, runtime: Runtime) -> None:
    """Raise UserError if an experiment's pretraining learns from scenes that it scores later.

    Where the validation split is not on this machine, a message says that nothing was compared; the
    evaluation compares. An overlap that is allowed is logged.
    """
    pretrained, root, cache = config.pretrained, runtime.data_path(), runtime.cache_path()
    frames = pretrained.data.open(root, cache)
    try:
        val = SceneSet.of(config.val, config.val.open(root, cache))
    except UserError as error:
        folders = {folder_of(absolute(one.root or root)) for one in (pretrained.data, config.val)}
        if config.val.scene_source == pretrained.data.scene_source or len(folders) == 1:
            log.info(
                f"The scenes of val are compared with the pretraining's by `olivine evaluate`, "
                f"because they cannot be read here: {error}"
            )
        return
    found = _learnt_text(val, _learnt_before(pretrained, frames))
    if found and OVERLAP not in runtime.allow:
        raise UserError(_refusal(found))
    if found:
        log.warning(f"Allowed by runtime.allow=overlap: {found}. A score on val will be marked.")


def learnt_scenes(config: PretrainConfig, frames: Frames) -> list[dict[str, Any]]:
    """Return the scenes behind a pretraining's weights, as plain values for their file."""
    return [
        {"source": scenes.source, "names": list(scenes.names)}
        for _, scenes, _ in _learnt_before(config, frames)
    ]


_Learnt = tuple[str, SceneSet, str]  # the setting that chose it, its scenes, and a remark


def _labelled(config: EvaluateConfig, data: ExperimentData) -> _Learnt:
    return TRAINING, SceneSet.of(config.train, data.train), ""


def _learnt_text(val: SceneSet, learnt: Iterable[_Learnt]) -> str:
    return "; ".join(text for one in learnt if (text := val.learnt_text(*one)))


def _learnt_before(config: PretrainConfig, frames: Frames) -> Iterator[_Learnt]:
    """Yield what a pretraining learns from."""
    for scenes in _scenes_behind(config.backbone.weights):
        yield START, scenes, ""
    if config.num_epochs:
        method = config.method
        used = (method.uses_classes and config.labels, method.uses_segments and config.segments)
        kinds = [labeller.kind for labeller in used if labeller and labeller.depends_on_truth]
        remark = f" with the truth as labels ({', '.join(kinds)})" if kinds else ""
        yield PRETRAINING, SceneSet.of(config.data, frames), remark


def _scenes_behind(weights: str) -> list[SceneSet]:
    """Return the scenes in a file of our own weights; other files and missing ones name none."""
    from olivine.models.weights import read_state

    path = Path(weights).expanduser()
    if not weights or not path.is_file():
        return []
    try:
        state = read_state(path)
    except UserError:  # it is told where the weights are loaded
        return []
    found = state.get(SCENES)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return []
    return [SceneSet(str(one["source"]), "", tuple(map(str, one["names"]))) for one in found]


def _refusal(found: str) -> str:
    return (
        f"The network would be scored on scenes that it learns from: {found}. Choose splits "
        "without common scenes, or set runtime.allow=overlap, which marks the score wherever it is "
        "shown."
    )
