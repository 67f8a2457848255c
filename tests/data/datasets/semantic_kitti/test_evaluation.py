"""A network from nuScenes is scored on SemanticKITTI, which lies elsewhere."""

import math
from pathlib import Path

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.datasets.semantic_kitti.classes import CLASS_NAMES
from olivine.data.records import IGNORE
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import RECIPES, demo, demo_random, on_semantic_kitti, pointcontrast
from olivine.labels.job import label
from olivine.results.colours import CLASS_COLOURS
from olivine.results.figures import error_figure, save
from olivine.tracking.tracker import NullTracker
from olivine.training.config import EvaluateConfig, label_config
from olivine.training.evaluate import experiment
from olivine.training.pretrain import pretrain
from olivine.training.pretrain_data import PretrainData
from olivine.training.scene_counts import SceneCounts
from olivine.training.validation import confusions_name, read_predictions
from olivine.training.worker import LocalWorker
from tests.support.kitti_scans import SmallKitti

TINY = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "train.allow_partial": True,
    "train.frame_step": 2,
    "val.allow_partial": True,
    "val.frame_step": 90,
    "num_epochs": 3,
    "batch_frames": 4,
}
ALONE = {"pretrained.data.kind": "semantic_kitti", "pretrained.data.allow_partial": True}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallKitti:
    """Sequences to train on, and more than 40 seconds of one to score."""
    root = tmp_path_factory.mktemp("data") / "kitti"
    return SmallKitti(root, {"00": 10, "05": 6, "08": 401, "11": 4}, num_points=200)


def tiny(root: Path, **settings: object) -> EvaluateConfig:
    places = {"train.root": str(root), "val.root": str(root)}
    return on_semantic_kitti(demo_random()).override({**TINY, **places, **settings})


def runtime_of(root: Path, out: Path) -> Runtime:
    return Runtime(data_root=str(root), out=str(out), cache_dir=str(out / "cache"), device="cpu")


def run(config: EvaluateConfig, runtime: Runtime):
    return experiment(config, runtime, LocalWorker(), NullTracker())


@pytest.mark.parametrize("protocol", ["linear_probe", "finetune"])
def test_a_network_of_nuscenes_is_scored_on_every_point_of_every_scene(
    protocol, small, tiny_world, tmp_path
):
    runtime, config = runtime_of(tiny_world, tmp_path), tiny(small.root, protocol=protocol)
    result = run(config, runtime)
    assert math.isfinite(result.scores["miou"])
    assert 0 < result.scores["accuracy"] <= 100
    assert set(result.scores) == {"miou", "accuracy", *(f"iou/{name}" for name in CLASS_NAMES)}
    store = Store(runtime.out)
    counts = SceneCounts.read(store, confusions_name(result.key.fingerprint))
    assert counts.scenes == ("08-000000", "08-000200")
    val = config.val.open(runtime.data_path(), runtime.cache_path())
    for scene, of_scene in zip(counts.scenes, counts.counts, strict=True):
        frames = [val.frame(i) for i, name in enumerate(val.scenes()) if name == scene]
        true = np.bincount(np.concatenate([f.class_ids for f in frames]), minlength=IGNORE + 1)
        np.testing.assert_array_equal(of_scene.sum(1), true[: len(CLASS_NAMES)])
    again = counts.scores(list(result.scores), np.ones((1, len(counts.scenes))))
    assert {name: score.item() for name, score in again.items()} == pytest.approx(result.scores)


def test_an_experiment_is_the_same_wherever_its_data_lie(small, tiny_world, tmp_path):
    away = run(tiny(small.root), runtime_of(tiny_world, tmp_path / "one"))
    here = tiny(small.root).override(
        {"train.root": "", "val.root": "", "pretrained.data.root": str(tiny_world)}
    )
    assert run(here, runtime_of(small.root, tmp_path / "two")) == away


def test_a_figure_has_the_classes_of_its_data_set(small, tmp_path):
    runtime = runtime_of(small.root, tmp_path)
    result = run(tiny(small.root, **ALONE), runtime)
    shown = read_predictions(Store(runtime.out), result.predictions)
    names = shown["class_names"].tolist()
    assert tuple(names) == CLASS_NAMES
    assert set(names) <= set(CLASS_COLOURS)
    figure = error_figure(shown["xyz_m"], shown["truth"], {"one": shown["predicted"]}, names)
    assert all(path.stat().st_size > 10_000 for path in save(figure, tmp_path, "errors"))


def test_what_cannot_be_scored_is_told_before_a_pretraining(small, tiny_world, tmp_path):
    runtime = runtime_of(tiny_world, tmp_path)
    without = tiny(small.root, **{"val.split": "test", "val.frame_step": 1})
    with pytest.raises(UserError, match=r"Frame 11-000000 of .* no point labels, and val needs"):
        run(without, runtime)
    mixed = tiny(small.root).override({"val": demo_random().val})
    with pytest.raises(UserError, match=r"train has 19 classes \(car, ...\) and val has 16"):
        run(mixed, runtime)
    with pytest.raises(UserError, match="No SemanticKITTI at"):
        run(tiny(tmp_path), runtime)
    assert not list(tmp_path.rglob("backbone.pt"))


def test_scans_alone_can_be_pretrained_on_by_a_method_without_images(small, tmp_path):
    config = at_demo_scale(pointcontrast()).override({**TINY_PRETRAINING, **ALONE}).pretrained
    runtime = runtime_of(small.root, tmp_path).override({"allow": ["fewer_pairs"]})
    assert pretrain(config, runtime, LocalWorker(), NullTracker()).num_steps == 2


def test_a_method_of_images_is_refused_scans_alone(small, tmp_path):
    config = demo().override({**TINY_PRETRAINING, **ALONE})
    runtime = runtime_of(small.root, tmp_path)
    frames = config.pretrained.data.open(runtime.data_path(), runtime.cache_path())
    with pytest.raises(UserError, match=r"has no images, .* pretrained\.data\.kind"):
        PretrainData.open(config.pretrained, runtime, frames)
    with pytest.raises(UserError, match="has no images to label"):
        label(label_config(config.pretrained), runtime, NullTracker())


TINY_PRETRAINING = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "pretrained.num_epochs": 1,
    "pretrained.batch_frames": 8,
}


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("semantic_kitti")])
def test_recipes_keep_the_published_protocol_and_their_pretraining(name: str):
    config = RECIPES[name]()
    assert (config.protocol, config.num_epochs, config.batch_frames) == ("finetune", 100, 10)
    assert (config.optimiser.lr, config.head_lr) == (0.05, 2.0)
    assert config.train == SemanticKitti(split="train", frame_step=100)
    assert config.val == SemanticKitti(split="val")
    if config.pretrained.num_epochs:
        assert config.pretrained == RECIPES[name.removesuffix("_semantic_kitti")]().pretrained
    else:
        assert config.pretrained.data.kind == "semantic_kitti"


@pytest.mark.slow
def test_real_scans_are_learnt_and_scored(shared_data, tmp_path):
    root = shared_data / "semantickitti"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    same = {"train.frame_step": 1, "val.split": "train", "val.frame_step": 1, "batch_frames": 2}
    runtime = runtime_of(root, tmp_path).override({"allow": "overlap"})  # it is one sequence
    learnt = {"num_epochs": 10, "optimiser.lr": 0.3, "head_lr": 0.3}
    result = run(tiny(root, **ALONE, **same, **learnt), runtime)
    counts = SceneCounts.read(Store(runtime.out), confusions_name(result.key.fingerprint)).counts
    assert math.isfinite(result.scores["miou"])
    commonest = 100 * counts.sum((0, 2)).max() / counts.sum()  # road
    assert 25 < commonest < 35
    assert result.scores["accuracy"] > 1.3 * commonest
