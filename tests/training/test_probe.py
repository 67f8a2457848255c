"""The probe within a pretraining: what it scores, what it leaves alone, what it keeps."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.experiments.recipes import demo_ppkt
from olivine.tracking.tracker import NullTracker
from olivine.training.config import PretrainConfig
from olivine.training.pretrain import pretrain
from olivine.training.pretrained_networks import build_model
from olivine.training.pretrained_weights import best_weights_name
from olivine.training.probe import LabelledScans, PretrainingProbe, probe_frames
from olivine.training.worker import LocalWorker
from tests.support.small import SMALL


class Metrics(NullTracker):
    """Keeps what a run logs."""

    def __init__(self):
        self.logged: dict[int, dict[str, float]] = {}

    @contextmanager
    def run(self, *arguments, **options):
        with super().run(*arguments, **options) as run:
            run.log_metrics = self.log_metrics
            yield run

    def log_metrics(self, metrics, step):
        self.logged.setdefault(step, {}).update(metrics)


class Reports(LocalWorker):
    """Keeps what a run reports, and stops it after some epochs."""

    def __init__(self, last_epoch: int = 0):
        super().__init__()
        self.last_epoch, self.metrics = last_epoch, []

    def report(self, metrics):
        self.metrics.append(metrics)
        if metrics["epoch"] == self.last_epoch:
            raise StoppedError


class StoppedError(Exception):
    pass


@pytest.fixture
def setting(tiny_world: Path, tmp_path: Path) -> tuple[PretrainConfig, Runtime]:
    """Return PPKT, which needs no labels, for three epochs of one step on two scenes."""
    runtime = Runtime(
        data_root=str(tiny_world),
        out=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
        device="cpu",
        allow=("fewer_pairs",),
        probe_every_epochs=1,
        probe_frames=8,
    )
    settings = {**SMALL, "pretrained.num_epochs": 3, "pretrained.data.split": "mini_val"}
    return demo_ppkt().override(settings).pretrained, runtime


def weights(runtime: Runtime, name: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(runtime.out) / name, weights_only=True)["backbone"]


def opened(config: PretrainConfig, runtime: Runtime) -> Frames:
    return config.data.open(runtime.data_path(), runtime.cache_path())


def probe_of(config: PretrainConfig, runtime: Runtime, worker: LocalWorker) -> PretrainingProbe:
    """Return the probe of an untrained network."""
    backbone = build_model(config, 1).backbone
    return PretrainingProbe.open(config, runtime, worker, backbone, opened(config, runtime))


def scores(tracker: Metrics, name: str = "probe_miou") -> dict[int, float]:
    place = f"pretrain/{name}"
    return {step: logged[place] for step, logged in tracker.logged.items() if place in logged}


@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=12), number=st.integers(2, 60))
def test_frames_are_spread_over_scenes_and_no_scene_is_in_both_halves(lengths, number):
    scenes = [f"scene {i}" for i, length in enumerate(lengths) for _ in range(length)]
    fitted, scored = probe_frames(scenes, number)
    assert fitted
    assert scored
    assert not {scenes[i] for i in fitted} & {scenes[i] for i in scored}
    chosen = [*fitted, *scored]
    assert len(set(chosen)) == len(chosen) <= number
    counts = [sum(scenes[i] == scene for i in chosen) for scene in sorted(set(scenes))]
    assert sum(map(bool, counts)) == min(len(lengths), number)
    if number >= sum(lengths) and len(set(lengths)) == 1:
        assert len(chosen) == sum(lengths)


def test_one_scene_alone_is_told():
    with pytest.raises(UserError, match=r"has only the-scene: .*probe_every_epochs=0"):
        probe_frames(["the-scene"] * 5, 4)


def test_training_is_the_same_to_the_last_bit_with_and_without_it(setting):
    config, runtime = setting
    tracker = Metrics()
    with_it = pretrain(config, runtime, LocalWorker(), tracker)
    probed = weights(runtime, with_it.weights)
    shutil.rmtree(Path(runtime.out) / "pretrained")
    without = Metrics()
    plain = pretrain(config, runtime.override({"probe_every_epochs": 0}), LocalWorker(), without)
    assert scores(without, "loss") == scores(tracker, "loss")
    found = weights(runtime, plain.weights)
    assert all(torch.equal(probed[name], found[name]) for name in found)
    assert scores(tracker)
    assert not scores(without)
    assert not list(Path(runtime.out).rglob("backbone_best.pt"))


def test_a_measurement_moves_neither_modes_nor_statistics_nor_random_numbers(setting):
    config, runtime = setting
    probe = probe_of(config, runtime, LocalWorker())
    probe.backbone.train()
    frozen = next(m for m in probe.backbone.modules() if not list(m.children()))
    frozen.eval()
    before = {name: value.clone() for name, value in probe.backbone.state_dict().items()}
    random = torch.get_rng_state()
    first = probe.measure()["probe_miou"]
    assert 0 < first < 100
    assert probe.measure()["probe_miou"] == first
    assert torch.equal(random, torch.get_rng_state())
    assert probe.backbone.training
    assert not frozen.training
    after = probe.backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in probe.backbone.parameters())


def test_it_is_logged_reported_and_always_taken_of_the_last_epoch(setting):
    config, runtime = setting
    tracker, worker = Metrics(), Reports()
    steps = pretrain(config, runtime.override({"probe_every_epochs": 2}), worker, tracker).num_steps
    found = scores(tracker)
    assert list(found) == [2, steps] == [2, 3]
    reported = [metrics.get("probe_miou") for metrics in worker.metrics]
    assert reported == [None, *found.values()]
    (best,) = scores(tracker, "best_probe_miou").values()
    (epoch,) = scores(tracker, "best_probe_epoch").values()
    assert best == max(found.values())
    assert found[epoch] == best


def test_the_best_checkpoint_outlives_newer_ones_and_a_resume(setting, monkeypatch):
    """The scores are made up, so that the best is the first of five epochs."""
    config, runtime = setting
    config = config.override({"num_epochs": 5})
    made_up = iter([9.0, 3.0, 4.0, 8.0, 5.0])
    monkeypatch.setattr(
        PretrainingProbe, "measure", lambda probe: {"probe_miou": next(made_up), "probe_s": 0.0}
    )
    with pytest.raises(StoppedError):
        pretrain(config, runtime, Reports(last_epoch=1), NullTracker())
    (folder,) = Path(runtime.out).glob("pretrained/*/checkpoints")
    (first,) = folder.glob("step_*.pt")
    expected = torch.load(first, weights_only=True)["module"]
    with pytest.raises(StoppedError):
        pretrain(config, runtime, Reports(last_epoch=4), NullTracker())
    assert len(list(folder.glob("step_*.pt"))) == 3  # the newest two and the best
    tracker = Metrics()
    result = pretrain(config, runtime, LocalWorker(), tracker)
    assert scores(tracker, "best_probe_epoch") == {5: 1}
    assert list(scores(tracker, "best_probe_miou").values()) == [9.0]
    best = weights(runtime, best_weights_name(result.key))
    last = weights(runtime, result.weights)
    assert best.keys() == last.keys()
    assert all(torch.equal(best[name], expected[f"backbone.{name}"]) for name in best)
    assert not all(torch.equal(best[name], last[name]) for name in best)


def test_weights_that_were_trained_without_it_are_scored_once(setting):
    config, runtime = setting
    off = runtime.override({"probe_every_epochs": 0})
    steps = pretrain(config, off, LocalWorker(), NullTracker()).num_steps
    found = []
    for _ in range(2):
        tracker = Metrics()
        result = pretrain(config, runtime, LocalWorker(), tracker)
        assert result.num_steps == 0
        found.append(scores(tracker))
        assert list(found[-1]) == [steps]
        assert scores(tracker, "best_probe_epoch") == {steps: 3}
    assert "pretrain/probe_s" not in tracker.logged[steps]  # the second time it was remembered
    assert found[0] == found[1]
    best = weights(runtime, best_weights_name(result.key))
    last = weights(runtime, result.weights)
    assert all(torch.equal(best[name], last[name]) for name in best)


def test_a_network_as_it_was_initialised_is_scored_too(setting):
    config, runtime = setting
    tracker = Metrics()
    config = config.override({"num_epochs": 0})
    pretrain(config, runtime, LocalWorker(), tracker)
    expected = probe_of(config, runtime, LocalWorker()).measure()["probe_miou"]
    assert scores(tracker) == {0: expected}
    assert scores(tracker, "best_probe_epoch") == {0: 0}


def test_the_seed_changes_the_network_and_not_the_frames(setting):
    config, runtime = setting
    config = config.override({"data.split": "mini_train"})
    one, two = (
        probe_of(config.override({"seed": seed}), runtime, LocalWorker()) for seed in (0, 1)
    )
    assert (one.fitted, one.scored) == (two.fitted, two.scored)
    assert one.measure()["probe_miou"] != two.measure()["probe_miou"]


def test_data_without_point_labels_are_told_of_before_the_first_step(setting, tmp_path):
    config, runtime = setting
    bare = tmp_path / "bare"
    shutil.copytree(runtime.data_root, bare)
    (bare / "v1.0-mini" / "lidarseg.json").unlink()
    with pytest.raises(UserError, match=r"no point labels.*probe_every_epochs=0"):
        pretrain(config, runtime.override({"data_root": str(bare)}), Reports(), NullTracker())
    assert not list(Path(runtime.out).rglob("*.pt"))


def test_scans_stay_in_memory_between_measurements(setting, monkeypatch):
    config, runtime = setting
    read = []
    original = LabelledScans.__call__

    def counted(reader, index):
        read.append(index)
        return original(reader, index)

    monkeypatch.setattr(LabelledScans, "__call__", counted)
    numbers = {}
    for cache_mb in (100, 0):
        probe = probe_of(config, runtime.override({"loader_cache_mb": cache_mb}), LocalWorker())
        for _ in range(2):
            read.clear()
            probe.measure()
            numbers.setdefault(cache_mb, []).append(len(read))
    everything = len([*probe.fitted, *probe.scored])
    assert numbers == {100: [everything - 1, 0], 0: [everything, everything]}  # one when it opened


class Sharing(LocalWorker):
    """One of two processes."""

    world_size = 2

    def __init__(self, rank: int):
        super().__init__()
        self.rank = rank


def share(rank: int, folder: Path, texts: list[tuple[str, str]]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    found = []
    for config_text, runtime_text in texts:
        config = PretrainConfig.from_dict(json.loads(config_text))
        runtime = Runtime.from_dict(json.loads(runtime_text))
        found.append(probe_of(config, runtime, Sharing(rank)).measure()["probe_miou"])
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def test_two_workers_find_what_one_finds(setting, tmp_path):
    """Of an odd number of frames one gets more; of two frames one has none to fit on."""
    config, runtime = setting
    config = config.override({"data.split": "mini_train"})
    runtimes = [runtime.override({"probe_frames": number}) for number in (2, 7)]
    text = json.dumps(config.to_dict())
    texts = [(text, json.dumps(each.to_dict())) for each in runtimes]
    torch.multiprocessing.spawn(share, (tmp_path, texts), nprocs=2)
    alone = [probe_of(config, each, LocalWorker()).measure()["probe_miou"] for each in runtimes]
    assert alone[0] != alone[1]
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == pytest.approx(alone, rel=1e-6)
