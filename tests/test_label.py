import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_folder import Folder, FolderFrames, Threshold, content, files_below, write_images

from olivine.config import LabelConfig, Runtime
from olivine.datasets.nuscenes import Nuscenes
from olivine.datasets.synthetic import Synthetic, WorldConfig
from olivine.errors import UserError
from olivine.label import LabelResult, label, label_batch
from olivine.label_store import LabelStore
from olivine.labellers.embedded import Embedded
from olivine.spec import Spec
from olivine.tracking import NullTracker, Run, RunKey, RunRecord, Tracker
from olivine.worker import LocalWorker

MAPS = "labels/f01de4-0ddba11"


class MemoryTracker(NullTracker):
    """Remembers how runs ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.keys: set[RunKey] = set()

    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Run]:
        @contextmanager
        def watched() -> Any:
            try:
                with NullTracker().run(key, name, config, tags) as run:
                    yield run
            except BaseException:
                self.ends.append("FAILED")
                raise
            self.ends.append("FINISHED")
            self.keys.add(key)

        return watched()

    def finished(self, key: RunKey) -> RunRecord | None:
        return RunRecord("", key, "", "FINISHED", {}, {}) if key in self.keys else None


def run(tmp_path: Path, tracker: Tracker | None = None, **settings: object) -> LabelResult:
    config = LabelConfig(dataset=Folder(), labeller=Threshold.model_validate(settings))
    runtime = Runtime(
        data_root=str(tmp_path / "data"), out=str(tmp_path / "out"), label_batch_size=4
    )
    return label(config, runtime, LocalWorker(), tracker or NullTracker())


def test_every_image_gets_a_map_and_is_counted(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 7)

    result = run(tmp_path)

    files = files_below(tmp_path / "out" / MAPS)
    assert set(files) == {name.replace(".jpg", ".png") for name in names} | {"labeller.json"}
    assert (result.num_images, result.num_labelled, result.num_failed) == (7, 7, 0)
    assert set(result.class_pixels) == {"dark", "bright", ""}
    assert sum(result.class_pixels.values()) == 3 * 9 * 16 + 4 * 12 * 20
    assert result.quality.num_images == 7
    assert result.quality.pixels is None
    assert sum(result.quality.class_share.values()) == pytest.approx(1)
    assert "7 of 7 images have labels" in str(result)


def test_a_finished_job_opens_no_run(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 5)
    tracker = MemoryTracker()

    first = run(tmp_path, tracker, log=str(tmp_path / "log"))
    calls = (tmp_path / "log").read_text()
    again = run(tmp_path, tracker, log=str(tmp_path / "log"))

    assert tracker.ends == ["FINISHED"]
    assert (tmp_path / "log").read_text() == calls
    assert (again.num_labelled, again.num_done_before) == (0, 5)
    assert again.quality == first.quality


def test_bad_images_are_recorded_and_the_rest_is_done(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 9)
    for name in names[2:4]:
        (tmp_path / "data" / name).write_bytes(b"\xff\xd8 no image")
    tracker = MemoryTracker()

    result = run(tmp_path, tracker, log=str(tmp_path / "log"))

    assert (result.num_labelled, set(result.failed)) == (7, set(names[2:4]))
    assert tracker.ends == ["FAILED"]
    assert "2 failed, the first is" in str(result)
    LabelStore(tmp_path / "out", "f01de4", "0ddba11").write_failed(
        {"samples/of-another-split.jpg": "cut off"}  # which shares the folder
    )
    run(tmp_path)
    recorded = (tmp_path / "out" / MAPS / "failed.json").read_text()
    assert set(json.loads(recorded)) == {*names[2:4], "samples/of-another-split.jpg"}

    write_images(tmp_path / "data", 9)  # mended
    calls = (tmp_path / "log").read_text()
    mended = run(tmp_path, tracker, log=str(tmp_path / "log"))
    assert (mended.num_labelled, mended.num_done_before, mended.num_failed) == (2, 7, 0)
    assert len((tmp_path / "log").read_text()[len(calls) :].split()) == 2
    assert tracker.ends == ["FAILED", "FINISHED"]
    recorded = (tmp_path / "out" / MAPS / "failed.json").read_text()
    assert list(json.loads(recorded)) == ["samples/of-another-split.jpg"]


def test_an_interrupted_job_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 12)
    tracker = MemoryTracker()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tracker, stop_after=9, log=str(tmp_path / "first"))
    done = len(list((tmp_path / "out" / MAPS).rglob("*.png")))

    result = run(tmp_path, tracker, log=str(tmp_path / "second"))

    assert done == 8  # whole batches of 4
    assert (result.num_done_before, result.num_labelled) == (8, 4)
    assert len((tmp_path / "second").read_text().split()) == 4
    assert tracker.ends == ["FAILED", "FINISHED"]


def test_no_images_and_no_place_to_write_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images to label"):
        run(tmp_path)
    write_images(tmp_path / "data", 2)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="Cannot"):
        run(tmp_path)


def test_a_bad_image_costs_only_itself() -> None:
    images = [np.full((2, 2, 3), value, np.uint8) for value in (10, 200, 90)]
    labeller = Threshold(refuse_mean=150).build(LocalWorker().device, FolderFrames(Path()))

    maps = label_batch(
        labeller, [images[0], "unreadable", images[1], images[2]], ["a", "b", "c", "d"]
    )

    assert maps[1:3] == ["unreadable", "ValueError: too bright"]
    assert [np.asarray(maps[i]).max() for i in (0, 3)] == [0, 0]
    assert label_batch(labeller, ["unreadable"], ["b"]) == ["unreadable"]


def test_an_identity_follows_settings_and_more() -> None:
    one, other = Threshold(), Threshold(seconds=1.0)

    assert one.identity_of() != other.identity_of()
    assert one.identity_of() == Threshold().identity_of()
    assert one.identity_of("weights") != one.identity_of("other weights")
    assert len(content(np.zeros((1, 1, 3), np.uint8))) == len(one.identity_of()) == 12


def test_labels_of_a_synthetic_world_are_compared_with_its_truth(
    tiny_world: Path, tmp_path: Path
) -> None:
    world = WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120)
    dataset = Synthetic(split="mini_val", world=world, cameras=("CAM_FRONT", "CAM_BACK"))
    config = LabelConfig(dataset=dataset, labeller=Embedded())
    runtime = Runtime(data_root=str(tiny_world), out=str(tmp_path / "out"), cache_dir=str(tmp_path))

    quality = label(config, runtime, LocalWorker(), NullTracker()).quality

    assert quality.num_images == 2 * 2 * 2
    assert quality.pixels is not None
    assert quality.points is not None
    for agreement in (quality.pixels, quality.points):
        assert 0.5 < agreement.accuracy <= 1.0  # far better than chance, which is 1 in 16
        assert 0.0 < agreement.miou < 1.0
    assert len(quality.lines()) == 3
    assert quality.metrics()["pixel_accuracy"] == quality.pixels.accuracy


def test_real_keyframes_get_maps_of_their_size(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "nuscenes_scene0061_keyframe0"
    dataset = Nuscenes(version="v1.0-mini", split="all")
    config = LabelConfig(dataset=dataset, labeller=Embedded())
    runtime = Runtime(data_root=str(root), out=str(tmp_path / "out"), cache_dir=str(tmp_path))

    result = label(config, runtime, LocalWorker(), NullTracker())

    frame = dataset.open(root, tmp_path).frame(0, images=False)
    fingerprint = dataset.open(root, tmp_path).fingerprint
    store = LabelStore.open(tmp_path / "out", fingerprint, Embedded().identity)
    assert result.num_labelled == len(frame.image_names) == 6
    for name, size in zip(frame.image_names, frame.image_size_px.tolist(), strict=True):
        assert store.read(name, tuple(size)).ids.shape == (900, 1600)
