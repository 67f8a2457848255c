"""The data sets of one experiment, each opened once and handed on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from olivine.core.errors import UserError
from olivine.core.file_stats import FolderStats
from olivine.core.runtime import Runtime
from olivine.data.dataset import Dataset, Frames
from olivine.data.identity.split import SplitIdentity, identity_of
from olivine.training.config import EvaluateConfig

Identities = Mapping[str, SplitIdentity]  # by the settings of a data set
NOT_READ: Identities = {}


class OpenedData:
    """The data sets of one stage, or of all trials of a sweep, each opened once.

    They are opened when they are first asked for, and each folder of files is read once. With
    `known`, the identities that another process read, no file is looked at here.
    """

    def __init__(self, runtime: Runtime, known: Identities = NOT_READ):
        self._runtime, self._known = runtime, known
        self._frames: dict[str, Frames] = {}
        self._stats: dict[str, FolderStats] = {}

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
