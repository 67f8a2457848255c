"""Batches over Ray Data against those of the in-process loader, on a real Ray."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
import torch
from hypothesis import given
from hypothesis import strategies as st
from ray.util.placement_group import placement_group, remove_placement_group
from torch import Tensor

from olivine.core.errors import UserError
from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.data.batch import Batch, PairTable, Voxels
from olivine.data.collate import Collate
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.loader import load_batches, training_batches, validation_batches
from olivine.data.schedule import Schedule
from olivine.experiments.recipes import demo
from olivine.runners.on_ray.batch_source import (
    AHEAD,
    AHEAD_PER_ACTOR,
    RayDataSource,
    require_cpus,
)
from olivine.runners.on_ray.packed_batch import packed, unpacked
from olivine.runners.on_ray.train import train_on_ray
from olivine.tracking.tracker import NullTracker, Tracker
from olivine.training.evaluate import experiment
from olivine.training.worker import LocalWorker, Worker
from tests.support.recorded_samples import RecordingReader, recorded_samples
from tests.support.run_stores.tiny_labels import TinyLabels
from tests.support.small import SMALL

SCHEDULE = Schedule(num_frames=15, batch_frames=2, num_epochs=3, seed=4)  # 21 steps
OPTIONAL = ("class_ids", "segments", "view", "view_pairs", "clusters", "view_clusters")
WAIT_S = 90.0


def assert_equal(one: object, two: object) -> None:
    """Compare two records field by field, tensors bit for bit and as they lie in memory."""
    assert type(one) is type(two)
    if isinstance(one, Tensor):
        assert isinstance(two, Tensor)
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert one.numel() == 0 or one.stride() == two.stride()
        bits = [tensor.contiguous().view(-1).view(torch.uint8) for tensor in (one, two)]
        assert torch.equal(*bits)
    elif isinstance(one, Batch | PairTable | Voxels):
        for name, value in vars(one).items():
            assert_equal(value, vars(two)[name])
    else:
        assert one == two


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens a moment later in other processes."""
    end_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.05)


def free_cpus() -> float:
    return ray.available_resources().get("CPU", 0)


def test_batches_are_those_of_the_loader(local_ray: str, tmp_path: Path) -> None:
    reader = RecordingReader(tmp_path / "notes")
    samples = recorded_samples(reader, cache_bytes=10**7)
    fed = training_batches(samples, SCHEDULE, Voxelizer(), 0, 2, batch_source=RayDataSource())
    here = training_batches(samples, SCHEDULE, Voxelizer(), 0, 0)

    for one, two in zip(here, fed, strict=True):
        assert_equal(one, two)
        assert all(getattr(two, name) is not None for name in OPTIONAL)
        two.images.zero_()  # memory of its own, that may be written

    read = reader.read_elsewhere()
    assert read
    assert len(read) == len(set(read)), "an actor keeps what it has read"
    until(lambda: free_cpus() == 2)


def test_from_the_middle_of_an_epoch_only_what_is_asked_for_is_read_and_little_ahead(
    local_ray: str, tmp_path: Path
) -> None:
    start, num_taken = 5, 4
    reader = RecordingReader(tmp_path / "notes", read_s=0.02)
    fed = training_batches(
        recorded_samples(reader), SCHEDULE, Voxelizer(), start, 1, batch_source=RayDataSource()
    )
    here = training_batches(
        recorded_samples(RecordingReader(tmp_path / "here")), SCHEDULE, Voxelizer(), start, 0
    )
    for _ in range(num_taken):
        assert_equal(next(here), next(fed))
        time.sleep(0.2)  # a training that is slower than its feed
    until(lambda: len(reader.read_elsewhere()) > 2 * (num_taken - 1))  # it reads ahead
    time.sleep(1.5)

    batch_keys = list(SCHEDULE.batch_keys(start))[1:]  # the first batch is made here
    most = num_taken - 1 + AHEAD_PER_ACTOR + AHEAD
    assert len(batch_keys) > most
    expected = [frame for batch in batch_keys[:most] for _, frame in batch]
    read = [frame for frame, _ in reader.read_elsewhere()]
    # Two actors may begin their batches in either order.
    assert not Counter(read) - Counter(expected), "something else was read, or too far ahead"

    fed.close()
    until(lambda: free_cpus() == 2)
    read = reader.read_elsewhere()
    time.sleep(1)
    assert reader.read_elsewhere() == read


def test_a_broken_file_is_one_sentence_where_its_batch_is_expected(
    local_ray: str, tmp_path: Path
) -> None:
    batch_keys = [[(0, 2 * step), (0, 2 * step + 1)] for step in range(5)]
    samples = recorded_samples(RecordingReader(tmp_path / "notes", broken=6))
    fed = validation_batches(samples, batch_keys, Voxelizer(), 1, batch_source=RayDataSource())

    for step in range(3):
        assert next(fed).tokens == (f"frame{2 * step}", f"frame{2 * step + 1}")
    with pytest.raises(UserError) as caught:
        next(fed)
    assert str(caught.value) == "Scan 6 is truncated."
    assert caught.value.__cause__ is None
    until(lambda: free_cpus() == 2)


@pytest.mark.parametrize("num_batches", [0, 1])
def test_a_single_batch_needs_no_ray(tmp_path: Path, num_batches: int) -> None:
    samples = recorded_samples(RecordingReader(tmp_path / "notes"))
    batch_keys = [[(0, 3), (0, 1)]] * num_batches
    fed = RayDataSource()(samples, batch_keys, Collate(Voxelizer()), 1)
    here = load_batches(samples, batch_keys, Collate(Voxelizer()), 0)
    for one, two in zip(here, fed, strict=True):
        assert_equal(one, two)


@pytest.mark.slow
def test_a_killed_actor_changes_no_batch(local_ray: str, tmp_path: Path) -> None:
    reader = RecordingReader(tmp_path / "notes", read_s=0.1)
    fed = training_batches(
        recorded_samples(reader), SCHEDULE, Voxelizer(), 0, 1, batch_source=RayDataSource()
    )
    here = training_batches(
        recorded_samples(RecordingReader(tmp_path / "here")), SCHEDULE, Voxelizer(), 0, 0
    )
    for step, (one, two) in enumerate(zip(here, fed, strict=True)):
        assert_equal(one, two)
        if step == 1:
            (actor,) = {process for _, process in reader.read_elsewhere()}
            os.kill(actor, signal.SIGKILL)
    assert len({process for _, process in reader.read_elsewhere()}) == 2


def runtime_of(**settings: object) -> Runtime:
    return Runtime.from_dict({"feed": "ray_data", "device": "cpu", **settings})


@pytest.mark.parametrize(
    ("settings", "trainer_cpus"), [({"num_workers": 2}, 2), ({"num_loader_workers": 2}, 1)]
)
def test_a_machine_without_a_cpu_for_every_actor_is_told_at_once(
    local_ray: str, settings: dict[str, int], trainer_cpus: int
) -> None:
    message = rf"decodes on 2 CPUs beside {trainer_cpus} .* has 2 here.*feed=loader"
    with pytest.raises(UserError, match=message):
        require_cpus(runtime_of(**settings), trainer_cpus)
    require_cpus(runtime_of(**settings, feed="loader"), trainer_cpus)


def test_a_cluster_whose_cpus_stay_taken_is_told_after_a_while(local_ray: str) -> None:
    require_cpus(runtime_of(), 1, max_wait_s=WAIT_S)
    group = placement_group([{"CPU": 1}])
    assert group.wait(WAIT_S)
    with pytest.raises(UserError, match=r"no 2 CPUs free within 0.5 s .*feed=loader"):
        require_cpus(runtime_of(ray_address="somewhere"), 1, max_wait_s=0.5)
    remove_placement_group(group)
    require_cpus(runtime_of(), 1, max_wait_s=WAIT_S)


def test_without_ray_the_feed_is_refused() -> None:
    with pytest.raises(UserError, match="feed=ray_data needs Ray, which launcher=process"):
        runtime_of(launcher="process")


@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from(
        [torch.uint8, torch.bool, torch.int64, torch.float32, torch.bfloat16, torch.float64]
    ),
    data=st.data(),
)
def test_a_packed_tensor_comes_back_as_it_lay(
    shape: list[int], dtype: torch.dtype, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    seed = data.draw(st.integers(0, 10))
    values = torch.randint(0, 255, shape, generator=torch.Generator().manual_seed(seed))
    tensor = values.to(dtype).permute(order)
    (back,) = unpacked([bytes(part) for part in packed([tensor])])
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(back, tensor)
    assert back.is_contiguous() == tensor.is_contiguous()


@pytest.mark.slow
def test_a_worker_of_ray_train_has_the_feed_of_its_runtime(local_ray: str, tmp_path: Path) -> None:
    reader = RecordingReader(tmp_path / "notes")
    samples, batch_keys = recorded_samples(reader), list(SCHEDULE.batch_keys(0))[:4]

    def stage(worker: Worker, tracker: Tracker, report: Report) -> None:
        here = load_batches(samples, batch_keys, Collate(Voxelizer()), 0)
        fed = worker.batch_source(samples, batch_keys, Collate(Voxelizer()), 1)
        for one, two in zip(here, fed, strict=True):
            assert_equal(one, two)

    train_on_ray(stage, "feed", runtime_of(out=str(tmp_path / "out")), NullTracker())
    assert len({process for _, process in reader.read_elsewhere()}) == 2, "the worker, its actor"


@pytest.mark.slow
def test_an_experiment_is_the_same_by_either_feed(
    local_ray: str, tiny_world: Path, tiny_labels: TinyLabels, tmp_path: Path
) -> None:
    """Pretraining, the training of the probe and its validation."""
    config = demo().override({**SMALL, "pretrained.num_epochs": 2, "num_epochs": 2})
    states, scores = [], []
    for name, feed in (("here", load_batches), ("fed", RayDataSource())):
        runtime = runtime_of(
            data_root=str(tiny_world),
            out=str(tmp_path / name),
            cache_dir=str(tmp_path / "cache"),
            allow=["fewer_pairs", "absent_classes"],
        )
        tiny_labels.write(config.pretrained, runtime)
        result = experiment(config, runtime, LocalWorker(batch_source=feed), NullTracker())
        scores.append(result.scores)
        (weights,) = Path(runtime.out).glob("pretrained/*/backbone.pt")
        states.append(torch.load(weights, weights_only=True)["backbone"])
    assert scores[0] == scores[1]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
