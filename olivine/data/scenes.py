"""Scenes that two data sets share, and an overlap of training with validation in stored runs.

Scenes are compared by their names, whatever the case, between data sets of one source
(`Dataset.scene_source`) and between those in one folder.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.spec import parse_settings
from olivine.data.dataset import Dataset, Frames

OVERLAP_TAG = "olivine.overlap"  # tag of a run with a score: what it learnt of the scored scenes
NUM_NAMED = 3  # scenes that a sentence names
PRETRAINING, TRAINING, VALIDATION = "pretrained.data", "train", "val"  # settings of data sets
# Settings from which an overlap of earlier versions' runs is known, where it can be.
_OF_DATA = ("kind", "version", "split", "scene_step", "frame_step", "world.seed")
_NUM_EPOCHS = "pretrained.num_epochs"
SETTINGS_READ = (
    _NUM_EPOCHS,
    *(f"{use}.{name}" for use in (PRETRAINING, TRAINING, VALIDATION) for name in _OF_DATA),
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
        return cls(dataset.scene_source, folder_of(frames.root), names)

    def shared_with(self, other: "SceneSet") -> dict[str, str]:
        """Return those that another set has too, by their names here, with their names there."""
        if self.source != other.source and not (self.folder and self.folder == other.folder):
            return {}
        there = {name.casefold(): name for name in other.names}
        return {name: there[name.casefold()] for name in self.names if name.casefold() in there}

    def learnt_text(self, use: str, learnt: "SceneSet", remark: str = "") -> str:
        """Return which of these scenes are learnt from, as a text; "" for none.

        `use` is the setting that chose the learnt ones, `remark` is added to it.
        """
        shared = self.shared_with(learnt)
        if not shared:
            return ""
        named = [
            name if name == there else f"{name}, there {there}"
            for name, there in list(shared.items())[:NUM_NAMED]
        ]
        more = f" and {len(shared) - NUM_NAMED} more" if len(shared) > NUM_NAMED else ""
        scenes = f"{len(shared)} of the {len(self.names)} scenes of val"
        return f"{use} has {scenes} ({', '.join(named)}{more}){remark}"


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
    val, found = _stored_dataset(known, VALIDATION), []
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


def folder_of(root: str | Path) -> str:
    """Return a data set's folder by one name; "" for what is no folder, such as a name."""
    if is_bucket(root):
        return str(root).rstrip("/")
    path = Path(root)
    return str(path.resolve()) if path.is_dir() else ""
