"""Labels that are segments, or the truth, through the store, the job and its report."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olivine.core.checksums import ALGORITHM
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.experiments.recipes import demo
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.labellers.lidarseg_truth import LidarsegTruth
from olivine.labels.labellers.slic import Slic
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import NullTracker, Run, RunKey
from olivine.training.pretrain import check_labels
from tests.support.image_folder import FINGERPRINT, Folder, write_images
from tests.support.small import SMALL


class TagTracker(NullTracker):
    """Remembers the tags of runs."""

    def __init__(self) -> None:
        self.tags: dict[str, Any] = {}

    @contextmanager
    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        self.tags |= tags or {}
        with NullTracker().run(key, name, config, tags) as run:
            yield run


def test_a_job_of_segments_counts_segments_and_coverage(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 3)
    config = LabelConfig(dataset=Folder(), labeller=Slic(num_segments=10, sigma_px=0.0))
    runtime = Runtime(data_root=str(tmp_path / "data"), out=str(tmp_path / "out"))
    tracker = TagTracker()

    result = label(config, runtime, tracker)

    store = LabelStore.open(tmp_path / "out", FINGERPRINT, config.labeller.identity)
    assert (store.makes, store.class_names) == ("segments", ())
    maps = [store.read(name) for name in names]
    assert result.num_labelled == 3
    assert result.class_pixels == {"": 0}
    quality = result.quality
    assert quality.segments_per_image == np.mean([len(np.unique(ids)) for ids in maps])
    assert (quality.coverage, quality.class_share, quality.points) == (1.0, {}, None)
    assert quality.metrics()["segments_per_image"] == quality.segments_per_image
    assert f"An image has {quality.segments_per_image:.1f} segments." in str(result)
    assert "truth" not in str(result)
    assert "labels.truth" not in tracker.tags


def test_every_id_is_a_segment(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, "f01de4", "0ddba11")
    store.begin(Slic())
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)

    store.write("a.jpg", ids)

    np.testing.assert_array_equal(store.read("a.jpg", (16, 16)), ids)
    assert store.class_names == ()


def without_checksum(about: Path) -> dict:
    """Return a description as a version without checksums wrote it."""
    return {
        name: value for name, value in json.loads(about.read_text()).items() if name != ALGORITHM
    }


@pytest.mark.parametrize(
    "change",
    [
        {"makes": "segments", "class_names": ["road"]},
        {"makes": "classes", "class_names": []},
        {"makes": "clouds", "class_names": ["road"]},
        {"makes": ["classes"], "class_names": ["road"]},
    ],
)
def test_a_description_says_what_it_is_of(tmp_path: Path, change: dict) -> None:
    LabelStore(tmp_path, "f01de4", "0ddba11").begin(Slic())
    about = tmp_path / "labels/f01de4-0ddba11/labeller.json"
    assert json.loads(about.read_text())["makes"] == "segments"
    about.write_text(json.dumps({**without_checksum(about), **change}))

    with pytest.raises(UserError, match="does not describe the labels"):
        LabelStore.open(tmp_path, "f01de4", "0ddba11")


def test_a_method_that_needs_classes_refuses_segments(tiny_world: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "pretrained.labels.kind": "slic"}
    config = demo().override(settings).pretrained
    runtime = Runtime(data_root=str(tiny_world), out=str(tmp_path), cache_dir=str(tmp_path))

    with pytest.raises(UserError, match=r"labels.kind=slic makes segments .* need classes: class"):
        check_labels(config, runtime)

    terms = [name for name, term in config.method.active().items() if term.uses_classes]
    check_labels(config.override({f"method.terms.{term}.weight": 0 for term in terms}), runtime)


def test_labels_from_the_truth_are_marked(tiny_world: Path, tmp_path: Path) -> None:
    dataset = Nuscenes(version="v1.0-mini", split="mini_val", cameras=("CAM_FRONT",))
    config = LabelConfig(dataset=dataset, labeller=LidarsegTruth())
    runtime = Runtime(data_root=str(tiny_world), out=str(tmp_path / "out"), cache_dir=str(tmp_path))
    tracker = TagTracker()

    result = label(config, runtime, tracker)

    assert tracker.tags["labels.truth"] == "true"
    assert "read from the truth: for an upper bound only" in str(result)
    assert result.class_pixels[""] < result.num_labelled * 90 * 160
