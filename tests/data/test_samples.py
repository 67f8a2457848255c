import multiprocessing
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.images import DecodedImage
from olivine.data.loader import load_batches, training_batches
from olivine.data.pair_labels import PairLabels
from olivine.data.records import IGNORE, Frame, Sample
from olivine.data.samples import Samples, make_cloud, make_sample
from olivine.data.schedule import Schedule, one_pass
from tests.support.two_cameras import CAMERAS, COLUMNS, ROWS, make_frame, read_labels


def read(index: int) -> Sample:
    return make_sample(make_frame(index), PairLabels(read_labels), CAMERAS)


AUGMENTATIONS = (RotateFlip(), CropImages(rows_px=30, columns_px=50, min_pairs=5))
SCHEDULE = Schedule(num_frames=7, batch_frames=2, num_epochs=3, seed=4)


def batches(num_processes: int, start: int = 0):
    samples = Samples(read, AUGMENTATIONS, seed=4, cache_bytes=10**7)
    return list(training_batches(samples, SCHEDULE, Voxelizer(), start, num_processes))


def same(one, two) -> bool:
    return (
        one.tokens == two.tokens
        and torch.equal(one.images, two.images)
        and torch.equal(one.voxels.features, two.voxels.features)
        and torch.equal(one.pairs.pixel_index, two.pairs.pixel_index)
        and torch.equal(one.pairs.class_ids, two.pairs.class_ids)
    )


@pytest.mark.parametrize("num_processes", [0, 2])
def test_loading_draws_no_number_of_the_networks(num_processes):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    batches(num_processes, start=SCHEDULE.steps_per_epoch)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loader_process_has_at_least_one_batch():
    samples = Samples(lambda index: make_cloud(make_frame(index)), (), seed=0)
    loaded = load_batches(samples, one_pass(3, 2), Collate(Voxelizer()), 16)
    next(loaded)
    assert len(multiprocessing.active_children()) == 2
    loaded.close()


def test_a_pairs_class_is_its_pixels():
    sample = read(0)
    _, row, column = sample.pairs.pixel_index.T
    expected = np.where(row == 0, IGNORE, (row + column) % 7)
    np.testing.assert_array_equal(sample.pair_class, expected)


@pytest.mark.parametrize("num_processes", [1, 4])
def test_loader_processes_change_nothing(num_processes):
    for one, two in zip(batches(0), batches(num_processes), strict=True):
        assert same(one, two)


@pytest.mark.parametrize("start", [1, 3, 4])
def test_a_resume_sees_the_rest_of_the_same_batches(start):
    rest = batches(0, start)
    assert len(rest) == 9 - start
    for one, two in zip(batches(0)[start:], rest, strict=True):
        assert same(one, two)


def test_epochs_differ_in_order_and_in_augmentation():
    first, second = batches(0)[:3], batches(0)[3:6]
    assert [b.tokens for b in first] != [b.tokens for b in second]


@pytest.mark.parametrize("world_size", [2, 4])
def test_workers_share_each_batch(world_size):
    whole = Schedule(num_frames=9, batch_frames=4, num_epochs=2, seed=0)
    shares = [
        list(Schedule(9, 4, 2, 0, rank, world_size).batch_keys(0)) for rank in range(world_size)
    ]
    for step, keys in enumerate(whole.batch_keys(0)):
        assert [key for share in shares for key in share[step]] == keys


def test_validation_sees_every_frame_once():
    shares = [one_pass(11, 3, rank, 2) for rank in (0, 1)]
    seen = [index for share in shares for batch in share for _, index in batch]
    assert sorted(seen) == list(range(11))


def test_collated_indices_lead_back_to_the_samples():
    samples = [read(0), read(1)]
    batch = Collate(Voxelizer())(samples)
    first = len(samples[0].pairs)
    assert len(batch.pairs) == first + len(samples[1].pairs)
    assert batch.pairs.frame_index.bincount().tolist() == [first, len(samples[1].pairs)]
    assert batch.pairs.pixel_index[first:, 0].min() == 2  # images are numbered through
    point = torch.from_numpy(samples[1].pairs.point_index) + len(samples[0].xyz_m)
    assert torch.equal(batch.pairs.voxel_index[first:], batch.voxels.voxel_of_point[point])
    assert batch.images.shape == (4, 3, ROWS, COLUMNS)


def test_a_cloud_has_no_images_and_no_pairs():
    batch = Collate(Voxelizer())([make_cloud(make_frame(0))])
    assert len(batch.images) == 0
    assert len(batch.pairs) == 0
    assert batch.class_ids is not None


def test_a_camera_that_sees_no_point_is_an_error_or_by_choice_an_image_without_pairs():
    frame = make_frame(0)
    blind = Frame(**{**vars(frame), "xyz_m": np.abs(frame.xyz_m)})
    with pytest.raises(UserError, match=r"RIGHT of frame frame0 sees none .*empty_camera=drop"):
        make_sample(blind, None, CAMERAS)
    dropped = make_sample(blind, None, CAMERAS, "drop")
    assert set(dropped.pairs.pixel_index[:, 0]) == {0}


def test_samples_that_are_sent_away_leave_behind_what_they_keep():
    samples = Samples(read, AUGMENTATIONS, seed=4, cache_bytes=10**7)
    before = len(pickle.dumps(samples))
    for index in range(5):
        samples[0, index]
    assert len(samples._cached) == 5
    sent = pickle.loads(pickle.dumps(samples))
    assert len(pickle.dumps(samples)) == before
    for index in range(5):
        assert same(*(Collate(Voxelizer())([some[1, index]]) for some in (samples, sent)))
    assert sent._cached.keys() == samples._cached.keys()


SENTENCE = "Scan 3 is truncated (olivine.errors.UserError: no end of file):\n  get it again."


def read_broken(index: int) -> Sample:
    raise UserError(SENTENCE)


@dataclass(frozen=True)
class BrokenCollate:
    def __call__(self, samples: Sequence[Sample]) -> Batch:
        raise UserError(SENTENCE)


@pytest.mark.parametrize("num_processes", [0, 2])
@pytest.mark.parametrize("where", ["read", "collate"])
def test_a_mistake_keeps_its_words_from_any_loader_process(where, num_processes):
    """Whatever the sentence holds, and wherever the error class lies."""
    read, collate = read_broken, Collate(Voxelizer())
    if where == "collate":
        read, collate = make_cloud_of, BrokenCollate()
    batches = load_batches(Samples(read, (), seed=0), [[(0, 0), (0, 1)]], collate, num_processes)
    with pytest.raises(UserError) as caught:
        next(batches)
    assert str(caught.value) == SENTENCE
    assert caught.value.__cause__ is None


def make_cloud_of(index: int) -> Sample:
    return make_cloud(make_frame(index))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 3, "batch_frames": 4}, "3 frames and a batch takes 4"),
        ({"num_frames": 9, "batch_frames": 4, "world_size": 3}, "cannot be shared by 3"),
    ],
)
def test_a_split_or_batch_that_cannot_work_is_an_error(settings, message):
    with pytest.raises(UserError, match=message):
        Schedule(**{"num_epochs": 1, "seed": 0, **settings})


def test_the_second_view_keeps_points_and_pairs_them_with_themselves():
    frames = [make_frame(index) for index in range(3)]
    samples = Samples(
        lambda index: make_cloud(frames[index]),
        [DropCuboid(min_pairs=0), RotateFlip()],
        seed=0,
        second_view=True,
    )
    voxelizer = Voxelizer(coordinates="cartesian", size=(0.5, 0.5, 0.5))

    drawn = [samples[0, index] for index in range(3)]
    batch = Collate(voxelizer)(drawn)

    pairs = batch.view_pairs
    assert pairs is not None
    assert len(pairs) > 100
    heights = [
        np.concatenate([sample.xyz_m[:, 2] for sample in some])
        for some in (drawn, [sample.view for sample in drawn])
    ]
    here = heights[0][batch.voxels.kept_point[pairs.voxel_index]]
    there = heights[1][batch.view.kept_point[pairs.view_index]]
    # turning and mirroring keep a height; another point of the same voxel is at most 0.5 m off
    assert np.abs(here - there).max() <= 0.5
    assert len(pairs.voxel_index.unique()) == len(pairs)
    frame = batch.voxels.coordinates[pairs.voxel_index, 0]
    assert torch.equal(frame, batch.view.coordinates[pairs.view_index, 0])
    assert torch.equal(frame, pairs.frame_index)
    assert not np.allclose(drawn[0].xyz_m[:50], drawn[0].view.xyz_m[:50])


def test_segments_move_with_their_images():
    frame = make_frame(0)
    marks = [np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 200] * 2
    maps = {name: ids.astype(np.uint8) for name, ids in zip(frame.image_names, marks, strict=True)}
    painted = replace(
        frame,
        images=tuple(
            DecodedImage(np.repeat(ids.astype(np.uint8)[..., None], 3, 2)) for ids in marks
        ),
    )
    sample = make_sample(painted, None, CAMERAS, read_segments=lambda name, size: maps[name])

    same_size = CropImages(rows_px=ROWS, columns_px=COLUMNS, min_area=1.0, flip_chance=1.0)
    moved = same_size(sample, np.random.default_rng(0))

    for ids, image in zip(moved.segments, moved.images, strict=True):
        np.testing.assert_array_equal(ids, image.pixels()[..., 0])
    assert not np.array_equal(moved.segments, sample.segments)


def test_torchs_loader_pins_every_tensor_of_a_batch(monkeypatch):
    """It pins what has a method for it and leaves all else as it is."""
    from torch.utils.data._utils.pin_memory import pin_memory

    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    batch = next(iter(batches(0)))
    assert same(pin_memory(batch), batch)
    ids = {id(tensor) for tensor in pinned}
    assert {id(batch.images), id(batch.voxels.features), id(batch.pairs.range_m)} <= ids
