"""The pretraining stage on the tiny synthetic world and on real keyframes."""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.loader import load_batches, training_batches
from olivine.data.samples import Samples, make_sample, named
from olivine.data.schedule import Schedule
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import demo, demo_ppkt, recipe
from olivine.labels.job import label
from olivine.methods.matched import StepPart
from olivine.tracking.tracker import NullTracker
from olivine.training.checkpoints import Checkpoints
from olivine.training.config import PretrainConfig, label_config
from olivine.training.pretrain import pretrain, pretraining_key
from olivine.training.pretrain_data import PretrainData
from olivine.training.pretrained_networks import build_model, loss_function
from olivine.training.worker import LocalWorker
from tests.support.run_stores.tiny_labels import TinyLabels
from tests.support.run_stores.tiny_runs import Metrics, tiny_runtime
from tests.support.small import SMALL


@pytest.fixture
def labelled(
    tiny_world: Path, tiny_labels: TinyLabels, tmp_path: Path
) -> tuple[PretrainConfig, Runtime]:
    config, runtime = demo().override(SMALL).pretrained, tiny_runtime(tiny_world, tmp_path)
    tiny_labels.write(config, runtime)
    return config, runtime


def weights(runtime: Runtime, name: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(runtime.out) / name, weights_only=True)["backbone"]


def test_every_term_of_olivine_falls_on_the_synthetic_world(labelled):
    config, runtime = labelled
    config = config.override(
        {
            "num_epochs": 8,
            "method.terms.compact.loss.warmup_steps": 8,
            "method.terms.compact.loss.momentum": 0.8,
        }
    )
    tracker = Metrics()
    pretrain(config, runtime, LocalWorker(), tracker)
    for term in ("pixel", "class"):
        losses = tracker.losses(term)
        assert losses[-1] < losses[0]
    compact = tracker.losses("compact")
    assert compact[0] == 0.0  # the bank warms up
    assert compact[-1] != 0.0
    assert tracker.losses("compact/classes_seen")[-1] > 3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["olivine", "olivine_next", "seal", "depthcontrast"])
def test_killed_after_two_epochs_and_resumed_to_four_gives_the_weights_of_four(
    method, tiny_world, tiny_labels, tmp_path
):
    """Of a bank that freezes and one that learns, of superpoints, of a queue and its student."""
    config = at_demo_scale(recipe(method)).override(SMALL).pretrained
    if method == "depthcontrast":
        config = config.override({"method.terms.scan.loss.size": 16})
    runtime = tiny_runtime(tiny_world, tmp_path / "whole")
    again = runtime.override({"out": str(tmp_path / "again")})
    for place in (runtime, again):
        tiny_labels.write(config, place)
    whole = pretrain(config, runtime, LocalWorker(), NullTracker())
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "runtime.yaml").write_text(again.to_yaml())
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    checkpoints = Checkpoints(Store(again.out), f"pretrained/{whole.key.fingerprint}/checkpoints")
    steps_per_epoch = whole.num_steps // config.num_epochs
    deadline = time.monotonic() + 120
    while 2 * steps_per_epoch not in checkpoints.steps():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = pretrain(config, again, LocalWorker(), NullTracker())
    assert resumed.num_steps == 2 * steps_per_epoch
    one, two = weights(runtime, whole.weights), weights(again, resumed.weights)
    assert all(torch.equal(one[name], two[name]) for name in one)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize(
    ("save_every", "last_saved", "precision"),
    [(0, 4, "float32"), (1, 5, "float32"), (5, 5, "float16")],
)
def test_a_run_that_stops_within_an_epoch_goes_on_from_its_last_checkpoint(
    labelled, tmp_path, save_every, last_saved, precision
):
    """Two epochs of four steps; it stops after the sixth, before that is saved."""
    config, runtime = labelled
    config = config.override({"num_epochs": 2, "precision": precision})
    whole = pretrain(config, runtime, LocalWorker(), NullTracker())
    expected = weights(runtime, whole.weights)
    shutil.rmtree(Path(runtime.out) / "pretrained")
    runtime = runtime.override({"save_every_steps": save_every})

    def stop(done, total):
        if done == 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        pretrain(config, runtime, LocalWorker(), NullTracker(), stop)
    resumed = pretrain(config, runtime, LocalWorker(), NullTracker())

    assert (whole.num_steps, resumed.num_steps) == (8, 8 - last_saved)
    found = weights(runtime, resumed.weights)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("stops", [False, True])
def test_a_feed_is_closed_when_training_ends_or_stops(labelled, stops):
    """Its processes end with it, not when memory happens to be collected."""
    config, runtime = labelled
    closed = []

    def feed(*arguments):
        try:
            yield from load_batches(*arguments)
        finally:
            closed.append(True)

    def report(done, total):
        if stops:
            assert not closed
            raise StoppedError

    with pytest.raises(StoppedError) if stops else nullcontext():
        worker = LocalWorker(batch_source=feed)
        pretrain(config.override({"num_epochs": 1}), runtime, worker, NullTracker(), report)
    assert closed == [True]


def test_half_precision_stays_close_and_keeps_weights_whole(labelled):
    config, runtime = labelled
    losses = {}
    for precision in ("float32", "bfloat16", "float16"):
        tracker = Metrics()
        chosen = config.override({"num_epochs": 2, "precision": precision})
        result = pretrain(chosen, runtime, LocalWorker(), tracker)
        losses[precision] = tracker.losses("loss")
        kept = weights(runtime, result.weights)
        assert {x.dtype for x in kept.values()} == {torch.float32, torch.int64}
    for half in ("bfloat16", "float16"):
        assert losses[half] != losses["float32"]
        assert losses[half] == pytest.approx(losses["float32"], rel=0.03)


@pytest.mark.parametrize("method", ["olivine", "depthcontrast"])
def test_a_batch_in_parts_has_the_loss_the_gradient_and_the_state_of_the_whole(
    method, tiny_world, tiny_labels, tmp_path
):
    """But for batch norms, which stand still here; over the end of the bank's warm-up."""
    config = at_demo_scale(recipe(method)).override(SMALL).pretrained
    if method == "olivine":
        bank = "method.terms.compact.loss"
        config = config.override({f"{bank}.warmup_steps": 1, f"{bank}.momentum": 0.5})
    runtime = tiny_runtime(tiny_world, tmp_path)
    tiny_labels.write(config, runtime)
    found = [steps_of(config.override({"accumulated_parts": n}), runtime) for n in (1, 2)]
    for (loss, gradients, state), (loss_2, gradients_2, state_2) in zip(*found, strict=True):
        assert loss_2 == pytest.approx(loss, rel=1e-5)
        for one, two in ((gradients, gradients_2), (state, state_2)):
            for name, expected in one.items():
                difference = (two[name] - expected).norm()
                assert difference <= 1e-3 * expected.norm() + 1e-6, name


def steps_of(config, runtime):
    """Return loss, gradients and buffers of three steps without their updates."""
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    data = PretrainData.open(config, runtime, frames)
    model = build_model(config, max(len(data.class_names), 1)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()
    shares = Schedule(len(frames), config.batch_frames, 2, 0, num_parts=config.accumulated_parts)
    samples = Samples(
        data, named(config.augmentations), 0, second_view=config.method.uses_second_view
    )
    batches = training_batches(samples, shares, config.voxels, 0, 0)
    loss_of, results = loss_function(model, config, LocalWorker()), []
    for step in range(3):
        model.zero_grad()
        loss = 0.0
        for index in range(config.accumulated_parts):
            part = StepPart(index, config.accumulated_parts)
            total, _ = loss_of(next(batches), step, part)
            (total / part.count).backward()
            loss += total.item() / part.count
        gradients = {
            name: weight.grad.clone()
            for name, weight in model.named_parameters()
            if weight.grad is not None
        }
        buffers = {name: x.clone().double() for name, x in model.named_buffers()}
        results.append((loss, gradients, buffers))
    return results


def test_a_run_in_parts_goes_on_after_a_stop_and_needs_whole_groups(labelled):
    config, runtime = labelled
    config = config.override({"num_epochs": 2, "accumulated_parts": 2})
    tracker = Metrics()
    whole = pretrain(config, runtime, LocalWorker(), tracker)
    assert whole.num_steps == 8
    assert tracker.losses("pixel")[-1] < tracker.losses("pixel")[0]
    assert tracker.losses("peak_memory_gb")[-1] > 0.05
    expected = weights(runtime, whole.weights)
    last = sorted(Path(runtime.out).rglob("step_*.pt"))[-1]
    last.unlink()
    assert pretrain(config, runtime, LocalWorker(), NullTracker()).num_steps == 4
    found = weights(runtime, whole.weights)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    with pytest.raises(UserError, match="whole groups of contrast_frames=2"):
        config.override({"accumulated_parts": 4})
    with pytest.raises(UserError, match="gather the keys of all of it: pixel"):
        config.override({"method.terms.pixel.loss.gather_keys": True})


def test_activations_made_again_train_the_same_weights(labelled):
    config, runtime = labelled
    config = config.override({"num_epochs": 1})
    found = []
    for recompute in (False, True):
        chosen = runtime.override({"recompute_activations": recompute})
        result = pretrain(config, chosen, LocalWorker(), NullTracker())
        found.append(weights(runtime, result.weights))
        shutil.rmtree(Path(runtime.out) / "pretrained")
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


# Trains in a process of its own and waits at the end of the second epoch to be killed.
KILLED = """
import sys, time
from pathlib import Path
from olivine.training.config import PretrainConfig
from olivine.core.runtime import Runtime
from olivine.training.pretrain import pretrain
from olivine.core.spec import read_yaml
from olivine.tracking.tracker import NullTracker
from olivine.training.worker import LocalWorker

class Waits(LocalWorker):
    def report(self, metrics):
        if metrics["epoch"] == 2:
            time.sleep(600)

folder = Path(sys.argv[1])
config = PretrainConfig.from_dict(read_yaml(folder / "config.yaml"))
runtime = Runtime.from_dict(read_yaml(folder / "runtime.yaml"))
pretrain(config, runtime, Waits(), NullTracker())
"""


def test_a_truncated_checkpoint_is_passed_over_with_a_warning(labelled):
    config, runtime = labelled
    whole = pretrain(config, runtime, LocalWorker(), NullTracker())
    before = weights(runtime, whole.weights)
    last = sorted(Path(runtime.out).rglob("step_*.pt"))[-1]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="The checkpoint before it is used"):
        again = pretrain(config, runtime, LocalWorker(), NullTracker())
    assert again.num_steps > 0
    after = weights(runtime, again.weights)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_loss_that_is_not_finite_stops_with_the_steps_number(labelled):
    config, runtime = labelled
    wild = config.override({"optimiser.lr": 1e30})
    with pytest.raises(UserError, match=r"not finite at step \d+ .*lr"):
        pretrain(wild, runtime, LocalWorker(), NullTracker())
    assert not (Path(runtime.out) / "pretrained" / "backbone.pt").exists()


def test_no_epochs_is_the_network_as_it_was_initialised(tiny_world, tmp_path):
    runtime = tiny_runtime(tiny_world, tmp_path)
    config = demo_ppkt().override({**SMALL, "pretrained.num_epochs": 0}).pretrained
    seeds = [config.override({"seed": seed}) for seed in (0, 0, 1)]
    found = [
        weights(runtime, pretrain(c, runtime, LocalWorker(), NullTracker()).weights) for c in seeds
    ]
    name = "conv0p1s1.kernel"
    assert torch.equal(found[0][name], found[1][name])
    assert not torch.equal(found[0][name], found[2][name])


def test_without_labels_the_error_names_the_command(tiny_world, tmp_path):
    config, runtime = demo().override(SMALL).pretrained, tiny_runtime(tiny_world, tmp_path)
    with pytest.raises(UserError, match="olivine label"):
        pretrain(config, runtime, LocalWorker(), NullTracker())
    assert not list(tmp_path.glob("pretrained/*"))


def test_the_key_changes_with_settings_and_labels_but_not_with_the_runtime(labelled):
    config, runtime = labelled
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    key = pretraining_key(config, frames)
    assert pretraining_key(config.override({"seed": 1}), frames) != key
    assert pretraining_key(config.override({"labels.min_confidence": 0.1}), frames) != key
    assert pretraining_key(config.override({"seed": 0}), frames) == key


REAL = {
    "nuscenes_scene0061_keyframe0": ("v1.0-mini", [3056, 3076, 3370, 4822, 4091, 3700]),
    "nuscenes_val_fd842039": ("v1.0-trainval", [2980, 3524, 4100, 4413, 4116, 3613]),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_keyframe_goes_from_labels_to_pairs_to_twenty_falling_steps(
    name, shared_data, tmp_path
):
    version, num_pairs = REAL[name]
    runtime = tiny_runtime(shared_data / name, tmp_path)
    settings = {
        **SMALL,
        "pretrained.data": Nuscenes(version=version, split="all"),
        "pretrained.labels.min_confidence": 0.0,
        "pretrained.batch_frames": 1,
        "pretrained.contrast_frames": 1,
        "pretrained.num_epochs": 20,
        "pretrained.augmentations.drop_cuboid": None,
    }
    config = demo().override(settings).pretrained
    result = label(label_config(config), runtime, NullTracker())
    assert result.num_labelled == 6
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    sample = make_sample(frames.frame(0), None, frames.camera_names)
    assert np.bincount(sample.pairs.pixel_index[:, 0]).tolist() == num_pairs  # SLidR's margin 0
    tracker = Metrics()
    assert pretrain(config, runtime, LocalWorker(), tracker).num_steps == 20
    losses = tracker.losses("loss")
    assert losses[-1] < losses[0]
    pixel = tracker.losses("pixel")
    assert pixel[-1] < pixel[0]
