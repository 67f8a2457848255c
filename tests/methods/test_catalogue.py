"""Every recipe's objective trains, on the synthetic world and on a real keyframe."""

import json
from pathlib import Path

import numpy as np
import pytest

from olivine.core.checksums import ALGORITHM
from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.records import IGNORE
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import RECIPES, recipe
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import NullTracker
from olivine.training.config import PretrainConfig
from olivine.training.pretrain import pretrain
from olivine.training.worker import LocalWorker
from tests.support.run_stores.tiny_labels import TinyLabels
from tests.support.run_stores.tiny_runs import Metrics, tiny_runtime
from tests.support.small import SMALL

METHODS = [name for name in RECIPES if not name.startswith("demo") and name != "random"]
REAL = {"nuscenes_scene0061_keyframe0": "v1.0-mini", "nuscenes_val_fd842039": "v1.0-trainval"}
SMALL_SEGMENTS = {"pretrained.segments.num_segments": 30, "pretrained.segments.sigma_px": 1.0}


def small(method: str, **settings: object) -> PretrainConfig:
    config = at_demo_scale(recipe(method)).override(SMALL)
    if config.pretrained.segments is not None and config.pretrained.segments.kind == "slic":
        config = config.override(SMALL_SEGMENTS)
    if config.pretrained.method.uses_momentum:
        settings = {"method.terms.scan.loss.size": 16, **settings}
    return config.pretrained.override(settings)


def losses(config: PretrainConfig, root: Path, labels: TinyLabels, out: Path) -> list[float]:
    """Return the loss of every logged step, from labels to the last epoch."""
    runtime = tiny_runtime(root, out)
    labels.write(config, runtime)
    tracker = Metrics()
    pretrain(config, runtime, LocalWorker(), tracker)
    return tracker.losses("loss")


@pytest.mark.parametrize("method", METHODS)
def test_every_methods_loss_falls_on_the_synthetic_world(
    method: str, tiny_world: Path, tiny_labels: TinyLabels, tmp_path: Path
) -> None:
    settings: dict[str, object] = {"num_epochs": 8, "seed": 1}
    start = 0
    if method == "depthcontrast":  # its queue of keys starts empty and fills for some steps
        start = 4
    if method == "olivine_next":  # its class term joins after the warm-up, and starts at chance
        start = 1
        settings |= {"num_epochs": 16, "method.terms.compact.loss.warmup_steps": 1}
    found = losses(small(method, **settings), tiny_world, tiny_labels, tmp_path)

    assert np.isfinite(found).all()
    assert np.mean(found[-4:]) < found[start]


@pytest.mark.slow
@pytest.mark.parametrize("folder", REAL)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_the_real_keyframes(
    method: str, folder: str, shared_data: Path, tiny_labels: TinyLabels, tmp_path: Path
) -> None:
    data = Nuscenes(version=REAL[folder], split="all")
    settings = {"data": data, "batch_frames": 1, "contrast_frames": 1, "num_epochs": 10}
    if method == "seal":  # there is no later keyframe: the scan's second view stands for it
        settings["clusters.num_keyframes_ahead"] = 0
    found = losses(small(method, **settings), shared_data / folder, tiny_labels, tmp_path)

    assert len(found) > 1
    assert np.isfinite(found).all()
    if method != "depthcontrast":  # one scan has no other to differ from
        assert found[-1] < found[0]


def test_images_without_any_segment_teach_nothing_and_break_nothing(
    tiny_world: Path, tmp_path: Path
) -> None:
    config = small("slidr", num_epochs=1)
    runtime = tiny_runtime(tiny_world, tmp_path)
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    store = LabelStore(runtime.out, frames.fingerprint, config.segments.identity)
    store.begin(config.segments)
    for name in frames.image_names():
        rows, columns = frames.read_image(name).shape[:2]
        store.write(name, np.full((rows, columns), IGNORE, np.uint8))
    tracker = Metrics()

    pretrain(config, runtime, LocalWorker(), tracker)

    assert set(tracker.losses("loss")) == {0.0}


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("slidr", {"segments": None}, "pools by superpixels: set segments.kind"),
        ("slidr", {"teacher": None}, "compares with pixels: set teacher.kind"),
        ("olivine", {"labels": None}, "needs weak labels: set labels.kind"),
        ("scalr", {"teacher": None}, "compares with pixels: set teacher.kind"),
        ("seal", {"clusters": None}, "compares superpoints: set clusters.kind"),
    ],
)
def test_a_method_without_what_it_compares_with_is_refused(
    method: str, settings: dict[str, None], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        small(method, **settings)


def test_terms_that_ask_for_more_than_there_is_end_at_once_unless_allowed(
    tiny_world: Path, tmp_path: Path
) -> None:
    config = small("ppkt", num_epochs=1)
    config = config.override({"method.terms.pixel.sample.num_pairs": 60_000})
    runtime = tiny_runtime(tiny_world, tmp_path)
    strict = runtime.override({"allow": []})

    with pytest.raises(UserError, match=r"'pixel' asks for 60000 pairs of 2 frames.* has \d+:"):
        pretrain(config, strict, LocalWorker(), NullTracker())
    tracker = Metrics()
    pretrain(config, runtime, LocalWorker(), tracker)

    assert all(0 < number < 60_000 for number in tracker.losses("pixel/num_pairs"))


def test_a_class_without_a_point_in_the_first_epoch_ends_a_run_that_can_go_on(
    tiny_world: Path, tmp_path: Path
) -> None:
    config = small("olivine", num_epochs=2)
    runtime = tiny_runtime(tiny_world, tmp_path)
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    store = LabelStore(runtime.out, frames.fingerprint, config.labels.identity)
    store.begin(config.labels)
    for name in frames.image_names():
        rows, columns = frames.read_image(name).shape[:2]
        ids = np.arange(rows * columns).reshape(rows, columns) % 15  # the last class never
        store.write(name, ids.astype(np.uint8))
    strict = runtime.override({"allow": "fewer_pairs"})

    for _ in range(2):  # again when it is tried again, without training
        tracker = Metrics()
        with pytest.raises(UserError, match=r"weak class other_ground \(1 of 16\)"):
            pretrain(config, strict, LocalWorker(), tracker)
    assert not tracker.logged
    result = pretrain(config, runtime, LocalWorker(), tracker)

    assert result.num_steps == 4  # of the second epoch alone


def test_labels_of_another_vocabulary_are_refused(tiny_world: Path, tmp_path: Path) -> None:
    """Someone changed the file that says which classes the maps have, which has no checksum."""
    config = small("olivine")
    runtime = tiny_runtime(tiny_world, tmp_path)
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    store = LabelStore(runtime.out, frames.fingerprint, config.labels.identity)
    store.begin(config.labels)
    about = Path(store.path) / "labeller.json"
    said = json.loads(about.read_text())
    said["class_names"].remove("bus")
    about.write_text(json.dumps({name: said[name] for name in said if name != ALGORITHM}))

    with pytest.raises(UserError, match=r"have 15 classes .*kind=embedded has 16 .*label` again"):
        pretrain(config, runtime, LocalWorker(), NullTracker())


def test_classes_are_no_segments(tiny_world: Path, tmp_path: Path) -> None:
    config = small("slidr").override({"segments.kind": "embedded"})

    with pytest.raises(UserError, match="embedded makes classes"):
        pretrain(config, tiny_runtime(tiny_world, tmp_path), LocalWorker(), NullTracker())
