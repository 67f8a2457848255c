"""The guard against leaks: no scene that a network learns from may be one that it is scored on.

A network learns from the scans of its pretraining, also without labels, from what is made of them
(weak labels, segments, superpoints: of the same scenes), from the labels of the evaluation's
training split, and from what made the weights that it starts from. Scenes are compared by their
names, whatever the case, between data sets of one source (`Dataset.scene_source`) and between those
in one folder. Files of other programs, teachers and labels do not say what they have seen.
"""

import functools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings
from olivine.core.storage import absolute
from olivine.data.dataset import Dataset, Frames
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.experiment_data import ExperimentData

log = logging.getLogger("olivine")

OVERLAP = "overlap"  # the entry of runtime.allow
OVERLAP_TAG = "olivine.overlap"  # tag of a run with a score: what it learnt of the scored scenes
SCENES = "scenes"  # in a file of weights: the scenes that they learnt from
NUM_NAMED = 3  # scenes that a sentence names
PRETRAINING, TRAINING, START = "pretrained.data", "train", "pretrained.backbone.weights"
# Settings from which an overlap of earlier versions' runs is known, where it can be.
_OF_DATA = ("kind", "version", "split", "scene_step", "frame_step", "world.seed")
_NUM_EPOCHS = "pretrained.num_epochs"
SETTINGS_READ = (
    _NUM_EPOCHS,
    *(f"{use}.{name}" for use in (PRETRAINING, TRAINING, "val") for name in _OF_DATA),
)


@dataclass(frozen=True)
class SceneSet:
    """The scenes that a data set has."""

    source: str
    folder: str  # of the data set; empty: not of this machine
    names: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, frames: Frames) -> "SceneSet":
        """Return the scenes of an opened data set, in its order."""
        names = tuple(dict.fromkeys(map(str, frames.scenes())))
        return cls(dataset.scene_source, _folder(frames.root), names)

    def shared_with(self, other: "SceneSet") -> dict[str, str]:
        """Return those that another set has too, by their names here, with their names there."""
        if self.source != other.source and not (self.folder and self.folder == other.folder):
            return {}
        there = {name.casefold(): name for name in other.names}
        return {name: there[name.casefold()] for name in self.names if name.casefold() in there}


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
    learnt = [(use, *one) for use, one in _learnt(config, data)]
    return "; ".join(text for one in learnt if (text := _shared_text(val, *one)))


def overlap_tags(config: EvaluateConfig, *, runtime: Runtime) -> dict[str, str]:
    """Return the tag of a run with this experiment's score; raise UserError as `require_apart`."""
    found = require_apart(config, ExperimentData.open(config, runtime), runtime)
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
        folders = {_folder(absolute(one.root or root)) for one in (pretrained.data, config.val)}
        if config.val.scene_source == pretrained.data.scene_source or len(folders) == 1:
            log.info(
                f"The scenes of val are compared with the pretraining's by `olivine evaluate`, "
                f"because they cannot be read here: {error}"
            )
        return
    learnt = [(use, *one) for use, one in _learnt_before(pretrained, frames)]
    found = "; ".join(text for one in learnt if (text := _shared_text(val, *one)))
    if found and OVERLAP not in runtime.allow:
        raise UserError(_refusal(found))
    if found:
        log.warning(f"Allowed by runtime.allow=overlap: {found}. A score on val will be marked.")


def learnt_scenes(config: PretrainConfig, frames: Frames) -> list[dict[str, Any]]:
    """Return the scenes behind a pretraining's weights, as plain values for their file."""
    return [
        {"source": scenes.source, "names": list(scenes.names)}
        for _, (scenes, _) in _learnt_before(config, frames)
    ]


def overlap_mark(tags: Mapping[str, str], settings: Mapping[str, str]) -> str:
    """Return the overlap of a stored run: from its tag or, in earlier versions, its settings.

    Settings tell it if two splits are the same or one contains the other; a run whose overlap
    nobody can know has no mark. `settings` needs no more than `SETTINGS_READ`.
    """
    return tags.get(OVERLAP_TAG) or _known_overlap(
        tuple((name, settings[name]) for name in SETTINGS_READ if name in settings)
    )


@functools.lru_cache(maxsize=1024)
def _known_overlap(settings: tuple[tuple[str, str], ...]) -> str:
    known = dict(settings)
    uses = [TRAINING, *([PRETRAINING] if known.get(_NUM_EPOCHS, "0") != "0" else [])]
    val, found = _stored_dataset(known, "val"), []
    for use in uses:
        other = _stored_dataset(known, use)
        if val is None or other is None or val.scene_source != other.scene_source:
            continue
        if val.surely_shares(other) or other.surely_shares(val):
            found.append(f"{use} has scenes of val, by its settings")
    return "; ".join(found)


def _stored_dataset(settings: Mapping[str, str], use: str) -> Dataset | None:
    """Return one of our data sets from the settings of a run; None for any other."""
    given = {name: settings.get(f"{use}.{name}") for name in _OF_DATA}
    kind = given.pop("kind")
    if kind not in Dataset.built_in:
        return None
    texts = [f"{name}={text}" for name, text in given.items() if text is not None]
    try:
        return Dataset.from_dict({"kind": kind}).override(parse_settings(texts))
    except UserError:  # a setting that this version does not have
        return None


def _learnt(
    config: EvaluateConfig, data: ExperimentData
) -> Iterator[tuple[str, tuple[SceneSet, str]]]:
    yield from _learnt_before(config.pretrained, data.pretrain)
    yield TRAINING, (SceneSet.of(config.train, data.train), "")


def _learnt_before(
    config: PretrainConfig, frames: Frames
) -> Iterator[tuple[str, tuple[SceneSet, str]]]:
    """Yield what a pretraining learns from: a setting's name, scenes, and a remark."""
    for scenes in _scenes_behind(config.backbone.weights):
        yield START, (scenes, "")
    if config.num_epochs:
        method = config.method
        used = (method.uses_classes and config.labels, method.uses_segments and config.segments)
        kinds = [labeller.kind for labeller in used if labeller and labeller.depends_on_truth]
        remark = f" with the truth as labels ({', '.join(kinds)})" if kinds else ""
        yield PRETRAINING, (SceneSet.of(config.data, frames), remark)


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


def _shared_text(val: SceneSet, use: str, learnt: SceneSet, remark: str) -> str:
    shared = val.shared_with(learnt)
    if not shared:
        return ""
    named = [
        name if name == there else f"{name}, there {there}"
        for name, there in list(shared.items())[:NUM_NAMED]
    ]
    more = f" and {len(shared) - NUM_NAMED} more" if len(shared) > NUM_NAMED else ""
    return (
        f"{use} has {len(shared)} of the {len(val.names)} scenes of val ({', '.join(named)}{more})"
        f"{remark}"
    )


def _refusal(found: str) -> str:
    return (
        f"The network would be scored on scenes that it learns from: {found}. Choose splits "
        "without common scenes, or set runtime.allow=overlap, which marks the score wherever it is "
        "shown."
    )


def _folder(root: str | Path) -> str:
    """Return a data set's folder by one name; "" for what is no folder, such as a name."""
    if is_bucket(root):
        return str(root).rstrip("/")
    path = Path(root)
    return str(path.resolve()) if path.is_dir() else ""
