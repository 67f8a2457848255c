import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.synthetic import Synthetic
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.job import LabelResult, label
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.store import LabelStore
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import NullTracker, Run, RunKey, RunRecord, Tracker
from tests.support.image_folder import (
    FINGERPRINT,
    Folder,
    Threshold,
    content,
    files_below,
    write_images,
)

MAPS = f"labels/{FINGERPRINT}-0ddba11"


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


def run(
    tmp_path: Path,
    tracker: Tracker | None = None,
    selection: Selection = EVERY_NEW_IMAGE,
    runtime: Mapping[str, object] = MappingProxyType({}),
    **settings: object,
) -> LabelResult:
    config = LabelConfig(dataset=Folder(), labeller=Threshold.model_validate(settings))
    places = {"data_root": str(tmp_path / "data"), "out": str(tmp_path / "out")}
    return label(
        config,
        Runtime.from_dict({**places, "label_batch_size": 4, **runtime}),
        tracker or NullTracker(),
        selection=selection,
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of 128 kB there, or skip where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def damage(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / "data" / name).write_bytes(b"\xff\xd8 no image")


def failures(tmp_path: Path) -> set[str]:
    return set(LabelStore(tmp_path / "out", FINGERPRINT, "0ddba11").failed())


def test_every_image_gets_a_map_and_is_counted(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 7)

    result = run(tmp_path)

    files = files_below(tmp_path / "out" / MAPS)
    assert set(files) == {name.replace(".jpg", ".png") for name in names} | {
        "labeller.json",
        "images.tsv",
    }
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
    damage(tmp_path, *names[2:4])
    tracker = MemoryTracker()

    result = run(tmp_path, tracker)

    assert (result.num_labelled, set(result.failed)) == (7, set(names[2:4]))
    assert tracker.ends == ["FAILED"]
    assert "2 failed, the first is" in str(result)
    record = tmp_path / "out" / MAPS / "failed" / f"{names[2]}.txt"
    assert f"\nCannot read {names[2]}" in record.read_text()


def test_recorded_failures_are_left_out_until_they_are_asked_for(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 9)
    damage(tmp_path, *names[2:4])
    run(tmp_path)
    (tmp_path / "out" / MAPS / names[5]).with_suffix(".png").unlink()
    store = LabelStore(tmp_path / "out", FINGERPRINT, "0ddba11")
    store.record_failure("samples/of-another-split.jpg", "cut off")  # which shares the folder
    tracker = MemoryTracker()

    plain = run(tmp_path, tracker)
    assert (plain.num_labelled, plain.num_failed_before, plain.num_failed) == (1, 2, 2)
    assert "2 failed before and were left out, --retry-failed takes them again" in str(plain)
    assert plain.quality.num_images == 7

    write_images(tmp_path / "data", 9)  # mended
    damage(tmp_path, names[3])
    log = tmp_path / "log"
    retried = run(tmp_path, tracker, Selection(retry_failed=True), log=str(log))
    assert (retried.num_labelled, retried.num_done_before, set(retried.failed)) == (
        1,
        7,
        {names[3]},
    )
    assert len(log.read_text().split()) == 1
    assert failures(tmp_path) == {names[3], "samples/of-another-split.jpg"}

    write_images(tmp_path / "data", 9)
    assert run(tmp_path, tracker, Selection(retry_failed=True)).num_failed == 0
    assert tracker.ends == ["FAILED", "FAILED", "FINISHED"]
    assert failures(tmp_path) == {"samples/of-another-split.jpg"}


def test_a_limit_takes_the_first_of_the_rest_and_the_run_is_not_finished(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 9)
    tracker = MemoryTracker()

    first = run(tmp_path, tracker, Selection(limit=3))
    assert (first.num_labelled, first.num_postponed, first.num_failed) == (3, 6, 0)
    assert first.quality.num_images == 3
    assert "6 are left for another time" in str(first)
    done = set(files_below(tmp_path / "out" / MAPS))
    assert done == {
        "labeller.json",
        "images.tsv",
        *(str(Path(n).with_suffix(".png")) for n in names[:3]),
    }

    assert run(tmp_path, tracker, Selection(limit=100)).num_done_before == 3
    assert tracker.ends == ["FAILED", "FINISHED"]
    with pytest.raises(UserError, match="--limit takes"):
        run(tmp_path, selection=Selection(limit=0))


def test_too_many_failures_stop_the_job_and_lose_nothing(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 130)
    damage(tmp_path, *names[::10])

    with pytest.raises(UserError, match=r"11 of the first 101 images failed.*last is.*Fix it"):
        run(tmp_path)

    done = len(list((tmp_path / "out" / MAPS).rglob("*.png")))
    assert 90 <= done < 117
    assert len(failures(tmp_path)) >= 10
    rest = run(tmp_path, runtime={"max_failed_share": 0.2})
    assert (rest.num_done_before, rest.num_done_before + rest.num_labelled) == (done, 117)
    assert failures(tmp_path) == set(names[::10])
    # Retried ones were bad before: they say nothing about the labeller.
    again = run(tmp_path, selection=Selection(retry_failed=True), runtime={"max_failed_share": 0})
    assert len(again.failed) == 13


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
    with pytest.raises(UserError, match="Cannot write /proc/"):  # which even root cannot write
        run(tmp_path, runtime={"out": "/proc/labels"})


def test_a_labeller_that_cannot_be_loaded_is_one_sentence(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 2)
    with pytest.raises(UserError, match="no weights"):
        run(tmp_path, missing="There are no weights; fetch them.")


def test_a_full_disk_stops_the_job_and_the_same_command_goes_on(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 40)
    with small_disk(tmp_path / "out"):
        with pytest.raises(UserError, match=r"Cannot write .*No space left"):
            run(tmp_path, runtime={"label_batch_size": 1})
        files = files_below(tmp_path / "out" / "labels")
        kept = {Path(file).name for file in files if file.endswith(".png")}
        assert 0 < len(kept) < 40
        assert not [file for file in files if Path(file).name.startswith(".")]
        shutil.copytree(tmp_path / "out", tmp_path / "larger")

    result = run(tmp_path, runtime={"out": str(tmp_path / "larger")})
    assert (result.num_done_before, result.num_labelled) == (len(kept), 40 - len(kept))
    assert len(names) == result.num_images


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

    quality = label(config, runtime, NullTracker()).quality

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

    result = label(config, runtime, NullTracker())

    frame = dataset.open(root, tmp_path).frame(0, images=False)
    fingerprint = dataset.open(root, tmp_path).fingerprint
    store = LabelStore.open(tmp_path / "out", fingerprint, Embedded().identity)
    assert result.num_labelled == len(frame.image_names) == 6
    for name, size in zip(frame.image_names, frame.image_size_px.tolist(), strict=True):
        assert store.read(name, tuple(size)).shape == (900, 1600)


_JOB = """
import sys
from pathlib import Path
from tests.support.image_folder import Folder, Threshold
from olivine.labels.config import LabelConfig
from olivine.core.runtime import Runtime
from olivine.labels.job import label
from olivine.tracking.tracker import NullTracker
from olivine.training.worker import LocalWorker

root, out, together = sys.argv[1:]
Path(out, f"{together}.ready").touch()
while not all(Path(out, f"{name}.ready").exists() for name in ("one", "other")):
    pass
labeller = Threshold(seconds=0.01, refuse_mean=130)
runtime = Runtime(data_root=root, out=out, label_batch_size=1)
config = LabelConfig(dataset=Folder(), labeller=labeller)
result = label(config, runtime, NullTracker())
sys.exit(result.num_failed)
"""


def test_two_jobs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 40)
    damage(tmp_path, *names[3:5])
    (tmp_path / "out").mkdir()
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", _JOB, str(tmp_path / "data"), str(tmp_path / "out"), which],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for which in ("one", "other")
    ]
    num_failed = [job.wait(timeout=120) for job in jobs]
    together = files_below(tmp_path / "out" / "labels")
    shutil.rmtree(tmp_path / "out")

    alone = run(tmp_path, refuse_mean=130)

    assert alone.num_failed > 2  # too bright ones, too
    assert num_failed == [alone.num_failed] * 2
    undisturbed = files_below(tmp_path / "out" / "labels")
    assert together.keys() == undisturbed.keys()
    different = {name for name in together if together[name] != undisturbed[name]}
    assert {Path(name).name for name in different} <= {
        "labeller.json"
    }  # other settings, same labels


def test_force_makes_every_map_again_and_says_whose_were_there(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 4)
    tracker = MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", cache=str(tmp_path / "cache"))
    tracker.ensure_store()
    first = run(tmp_path, tracker)
    again = run(tmp_path, tracker)
    damaged = tmp_path / "out" / MAPS / names[0].replace(".jpg", ".png")
    damaged.write_bytes(b"of older code")
    forced = run(tmp_path, tracker, Selection(force=True))

    assert (first.reused, forced.reused) == ((), ())
    (reused,) = again.reused
    assert str(reused).startswith("Reused 4 maps of 20")
    assert (again.num_labelled, forced.num_labelled, forced.num_done_before) == (0, 4, 0)
    assert damaged.read_bytes() != b"of older code"
