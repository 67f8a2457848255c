"""Linear probe and fine-tuning on the tiny synthetic world."""

from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.batch import Voxels
from olivine.data.dataset import Dataset
from olivine.experiments.recipes import demo_random
from olivine.inference import load_backbone, load_segmenter
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import NullTracker
from olivine.training.config import EvaluateConfig
from olivine.training.evaluate import evaluate, experiment
from olivine.training.scene_counts import SceneCounts
from olivine.training.segmenter import Segmenter
from olivine.training.validation import confusions_name, named_scores, read_predictions
from olivine.training.worker import LocalWorker

SMALL = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "num_epochs": 3,
}


def tiny(**settings: object) -> EvaluateConfig:
    return demo_random().override({**SMALL, **settings})


def tiny_runtime(root: Path, out: Path) -> Runtime:
    return Runtime(data_root=str(root), out=str(out), cache_dir=str(out / "cache"), device="cpu")


def run(config: EvaluateConfig, runtime: Runtime):
    return experiment(config, runtime, LocalWorker(), NullTracker())


def test_a_probe_scores_every_point_and_is_a_function_of_its_seed(tiny_world, tmp_path):
    results = []
    for place in ("one", "two"):
        runtime = tiny_runtime(tiny_world, tmp_path / place)
        results.append(run(tiny(), runtime))
    assert results[0].scores == results[1].scores
    assert 0 < results[0].scores["miou"] < results[0].scores["accuracy"] <= 100
    arrays = read_predictions(Store(runtime.out), results[1].predictions)
    assert len(arrays["xyz_m"]) == len(arrays["truth"]) == len(arrays["predicted"])
    assert arrays["predicted"].max() < 16


def test_scenes_are_counted_apart_and_together_give_the_scores(tiny_world, tmp_path):
    runtime, config = tiny_runtime(tiny_world, tmp_path), tiny(batch_frames=3)  # scenes share one
    result = run(config, runtime)
    store = Store(runtime.out)
    counts = SceneCounts.read(store, confusions_name(result.key.fingerprint))
    val = config.val.open(runtime.data_path(), runtime.cache_path())
    assert counts.scenes == tuple(dict.fromkeys(val.scenes()))
    assert len(counts.scenes) > 1
    for scene, of_scene in zip(counts.scenes, counts.counts, strict=True):
        frames = [
            val.frame(i, images=False) for i, name in enumerate(val.scenes()) if name == scene
        ]
        true = np.bincount(np.concatenate([f.class_ids for f in frames]), minlength=256)
        np.testing.assert_array_equal(of_scene.sum(1), true[: len(val.class_names)])
    again = counts.scores(list(result.scores), np.ones((1, len(counts.scenes))))
    assert {metric: score.item() for metric, score in again.items()} == pytest.approx(result.scores)


def test_fine_tuning_moves_the_backbone_and_the_probe_does_not(tiny_world, tmp_path):
    runtime = tiny_runtime(tiny_world, tmp_path)
    states = {}
    for protocol in ("linear_probe", "finetune"):
        result = run(tiny(protocol=protocol, head_lr=0.5), runtime)
        folder = tmp_path / "evaluated" / result.key.fingerprint / "checkpoints"
        states[protocol] = torch.load(max(folder.iterdir()), weights_only=True)["module"]
    start = torch.load(next(tmp_path.rglob("backbone.pt")), weights_only=True)["backbone"]
    for name, value in start.items():
        assert torch.equal(states["linear_probe"][f"backbone.{name}"], value)
    kernel = "conv0p1s1.kernel"
    assert not torch.equal(states["finetune"][f"backbone.{kernel}"], start[kernel])


def test_fine_tuning_follows_its_own_batch_norm_momentum(tiny_world, tmp_path):
    """With momentum 0 nothing would move; with 1 the statistics are those of the last batch."""
    runtime = tiny_runtime(tiny_world, tmp_path)
    tuned = {"protocol": "finetune", "num_epochs": 1, "backbone": {"bn_momentum": 1e-6}}
    fingerprints = [run(tiny(**tuned), runtime).key.fingerprint]
    fingerprints.append(run(tiny(**{**tuned, "backbone": {}}), runtime).key.fingerprint)
    start = load_backbone(next(tmp_path.rglob("backbone.pt"))).network.bn0.bn.running_var
    moved = []
    for fingerprint in fingerprints:
        evaluated = load_segmenter(tmp_path / "evaluated" / fingerprint)
        norm = evaluated.backbone.network.bn0.bn
        assert norm.momentum == evaluated.config.evaluated_backbone.bn_momentum
        assert evaluated.backbone.config.backbone == evaluated.config.evaluated_backbone
        moved.append(float((norm.running_var - start).abs().max()))
    assert len(list(tmp_path.rglob("backbone.pt"))) == 1  # one pretraining is the start of both
    assert 0 < moved[0] < 1e-3 * moved[1]


def test_few_labels_are_fewer_scenes(tiny_world, tmp_path):
    runtime = tiny_runtime(tiny_world, tmp_path)
    config = tiny(**{"train.scene_step": 4, "batch_frames": 2})
    frames = config.train.open(runtime.data_path(), runtime.cache_path())
    whole = tiny().train.open(runtime.data_path(), runtime.cache_path())
    assert 0 < len(frames) < len(whole)
    assert run(config, runtime).scores["accuracy"] > 0


def test_an_empty_split_is_told(tiny_world, tmp_path):
    with pytest.raises(UserError, match="train"):
        run(tiny(**{"train.scene_step": 1000}), tiny_runtime(tiny_world, tmp_path))


def test_an_experiment_opens_each_data_set_once(tiny_world, tmp_path, monkeypatch):
    opened = []
    open_at = Dataset.open

    def counted(self: Dataset, *places: object):
        opened.append(self)
        return open_at(self, *places)

    monkeypatch.setattr(Dataset, "open", counted)
    config, runtime = tiny(), tiny_runtime(tiny_world, tmp_path)
    tracker = MlflowTracker(runtime.store_uri())
    tracker.ensure_store()
    for again in (False, True):
        opened.clear()
        experiment(config, runtime, LocalWorker(), tracker)
        assert config.train == config.pretrained.data
        assert opened == [config.train, config.val], again


def test_without_weights_the_error_names_the_command(tiny_world, tmp_path):
    with pytest.raises(UserError, match="olivine pretrain"):
        evaluate(tiny(), tiny_runtime(tiny_world, tmp_path), LocalWorker(), NullTracker())


def test_weights_of_another_architecture_are_told(tiny_world, tmp_path):
    runtime = tiny_runtime(tiny_world, tmp_path)
    run(tiny(), runtime)
    weights = next(tmp_path.rglob("backbone.pt"))
    other = tiny(**{"pretrained.backbone.stem_channels": 12})
    run(other, runtime)
    (second,) = set(tmp_path.rglob("backbone.pt")) - {weights}
    second.write_bytes(weights.read_bytes())
    with pytest.raises(UserError, match="do not fit this backbone: "):
        evaluate(other, runtime, LocalWorker(), NullTracker())


@pytest.mark.parametrize("absent", ["skip", "one"])
def test_an_absent_class_counts_as_its_named_choice_says(absent):
    counts = torch.tensor([[8, 2, 0], [0, 5, 0], [0, 0, 0]])
    scores = named_scores(counts, ("a", "b", "c"), absent)
    iou = np.array([8 / 10, 5 / 7, *([1.0] if absent == "one" else [])])
    assert scores["miou"] == pytest.approx(100 * iou.mean())
    assert scores["accuracy"] == pytest.approx(100 * 13 / 15)
    assert set(scores) == {"miou", "accuracy", "iou/a", "iou/b"}


def test_a_frozen_backbone_keeps_its_statistics_while_the_head_trains():
    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(3)

        def forward(self, voxels: Voxels) -> torch.Tensor:
            return self.norm(voxels.features)

    voxels = Voxels(
        torch.zeros(5, 4, dtype=torch.long), torch.randn(5, 3), torch.arange(5), torch.arange(5)
    )
    model = Segmenter(Backbone(), 3, 2, frozen=True).train()
    model(voxels).sum().backward()
    assert model.backbone.norm.num_batches_tracked == 0
    assert [name for name, p in model.named_parameters() if p.grad is not None] == [
        "head.weight",
        "head.bias",
    ]
