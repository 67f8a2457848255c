"""The data sets of one experiment, each opened once and handed on."""

from dataclasses import dataclass

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.training.config import EvaluateConfig


@dataclass(frozen=True)
class ExperimentData:
    """The opened data sets of an experiment."""

    pretrain: Frames  # read by the pretraining
    train: Frames  # with labels, to train on
    val: Frames  # with labels, to score on

    @classmethod
    def open(cls, config: EvaluateConfig, runtime: Runtime) -> "ExperimentData":
        """Return the data sets that `config` names.

        Raises UserError for a data set, a split or a file that is not there.
        """
        root, cache = runtime.data_path(), runtime.cache_path()
        return cls(
            config.pretrained.data.open(root, cache),
            config.train.open(root, cache),
            config.val.open(root, cache),
        )

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
