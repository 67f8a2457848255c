"""A teacher's maps, kept: to the last bit what it says of a frame, and nothing else trusted.

A map is a function of its frame's images alone, so cold and warm runs are bit-equal on every
processor. Without kept maps a teacher sees a whole batch at once, and how a product rounds depends
on its size: there the two agree within a bound.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.augmentations.base import Augmentation
from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.collate import Collate
from olivine.data.datasets.nuscenes.frames import NuscenesFrames
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.images import DecodedImage, EncodedImage
from olivine.data.records import Correspondences, Sample
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import recipe
from olivine.labels.job import label
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.regions import Regions
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.models.teachers.filter_bank.network import FilterBank
from olivine.models.teachers.map_cache import TeacherMapCache, require_fixed_images
from olivine.models.teachers.resnet50 import ResNet50Teacher
from olivine.tracking.tracker import NullTracker
from olivine.training.config import PretrainConfig, label_configs
from olivine.training.pretrain import check_labels, pretrain
from olivine.training.worker import LocalWorker
from tests.support.small import SMALL

CPU = torch.device("cpu")

NUM_FRAMES = 16  # of the tiny world's training split: four batches
WHOLE = {
    "augmentations.crop_images.min_area": 1.0,
    "augmentations.crop_images.flip_chance": 0.0,
    "num_epochs": 2,
}


def whole_images(method: str) -> PretrainConfig:
    return at_demo_scale(recipe(method)).override(SMALL).pretrained.override(WHOLE)


@pytest.fixture
def place(tiny_world: Path, tmp_path: Path) -> Runtime:
    return Runtime(
        data_root=str(tiny_world),
        out=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
        device="cpu",
        allow=("fewer_pairs", "absent_classes"),
    )


@dataclass
class Calls:
    teacher: int = 0
    decoded: int = 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count what the teacher and the decoder are asked."""
    counted, ask, decode = Calls(), FilterBank.forward, EncodedImage.decode

    def asked(self: FilterBank, images: Tensor) -> Tensor:
        counted.teacher += 1
        return ask(self, images)

    def decoded(self: EncodedImage, shrink: int = 1) -> tuple:
        counted.decoded += 1
        return decode(self, shrink)

    monkeypatch.setattr(FilterBank, "forward", asked)
    monkeypatch.setattr(EncodedImage, "decode", decoded)
    return counted


def trained(config: PretrainConfig, runtime: Runtime, keep: bool = True) -> dict[str, Tensor]:
    """Return the weights of a new run; what it kept of the teacher stays."""
    place = runtime.override({"keep_teacher_maps": keep})
    result = pretrain(config, place, LocalWorker(), NullTracker())
    assert result.num_steps == 8
    checkpoint = next(Path(runtime.out).glob("pretrained/*/checkpoints/step_00000008.pt"))
    state = torch.load(checkpoint, weights_only=True)["module"]
    for path in sorted(Path(runtime.out, "pretrained").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return state


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def distance(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Return how far apart two sets of weights are, in lengths of the first."""
    assert one.keys() == two.keys()
    there, here = (torch.cat([w[name].double().flatten() for name in one]) for w in (two, one))
    return float((there - here).norm() / here.norm())


# Of weights after 8 steps. A teacher whose maps are off by 1e-6 moves them by 4e-5 at most.
ROUNDING = 1e-3


def kept_files(runtime: Runtime) -> list[Path]:
    return sorted(Path(runtime.out).glob("teacher_maps/*/*.npz"))


def test_two_epochs_and_another_seed_give_the_weights_they_have_without(
    place: Runtime, calls: Calls, capsys: pytest.CaptureFixture
) -> None:
    config = whole_images("scalr")
    other = config.override({"seed": 1, "augmentations.rotate_flip.rotate": False})
    plain, plain_other = trained(config, place, keep=False), trained(other, place, keep=False)
    assert distance(plain, plain_other) > 10 * ROUNDING
    assert not kept_files(place)
    assert calls.teacher == 2 * 8
    calls.teacher = calls.decoded = 0

    cold = trained(config, place)

    assert distance(plain, cold) < ROUNDING
    assert len(kept_files(place)) == calls.teacher == NUM_FRAMES  # one epoch, frame by frame
    assert calls.decoded == 6 * NUM_FRAMES
    calls.teacher = calls.decoded = 0
    assert same(trained(config, place), cold)
    assert distance(plain_other, trained(other, place)) < ROUNDING
    assert calls == Calls(0, 0)
    num_bytes = NUM_FRAMES * 6 * 96 * 11 * 20 * 4
    said = [line for line in capsys.readouterr().err.splitlines() if "teacher's maps" in line]
    assert f"{num_bytes / 1e9:.3g} GB for 16 frames in {place.out}/teacher_maps/" in said[0]
    assert said[0].endswith(", 0 GB of it cached already")
    on_disk = sum(path.stat().st_size for path in kept_files(place))
    assert num_bytes < on_disk < 1.001 * num_bytes
    assert said[1].endswith(f"{on_disk / 1e9:.3g} GB of it cached already")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "precision", "num_processes"),
    [("slidr", "float32", 0), ("slidr", "bfloat16", 2), ("ppkt", "float32", 2)],
)
def test_poolings_over_a_whole_map_and_loader_processes_change_nothing(
    place: Runtime, method: str, precision: str, num_processes: int
) -> None:
    config = whole_images(method).override({"precision": precision})
    if config.segments:
        config = config.override({"segments": Regions(of=Embedded())})
        label(label_configs(config)[0], place, NullTracker())
    plain = trained(config, place, keep=False)
    place = place.override({"num_loader_workers": num_processes})
    cold = trained(config, place)
    assert distance(plain, cold) < ROUNDING
    assert same(trained(config, place), cold)
    assert len(kept_files(place)) == NUM_FRAMES


def test_files_that_are_damaged_or_of_another_shape_are_made_again(
    place: Runtime, calls: Calls
) -> None:
    config = whole_images("scalr")
    plain = trained(config, place)
    files = kept_files(place)
    before = [path.read_bytes() for path in files]
    flipped = bytearray(before[1])
    flipped[len(flipped) // 2] ^= 1
    files[0].write_bytes(before[0][: len(before[0]) // 2])
    files[1].write_bytes(flipped)
    with files[2].open("wb") as stream:
        np.savez(stream, channels_first=np.zeros((6, 96, 11, 21), np.float32))
    files[3].write_bytes(b"")
    calls.teacher = 0

    with pytest.warns(UserWarning, match=r"teacher_maps/.*is made again") as warned:
        assert same(trained(config, place), plain)

    assert calls.teacher == len(warned) == 4
    assert {str(path) in str(one.message) for path in files[:4] for one in warned} == {True, False}
    assert [path.read_bytes() for path in files] == before


def test_images_that_differ_by_chance_are_refused_with_the_settings_that_fix_them(
    place: Runtime,
) -> None:
    keeping = place.override({"keep_teacher_maps": True})
    for settings_, fits in (
        ({"min_area": 0.9}, False),
        ({"flip_chance": 0.5}, False),
        ({"flip_chance": 1.0}, True),
    ):
        config = whole_images("scalr").override(
            {f"augmentations.crop_images.{name}": value for name, value in settings_.items()}
        )
        if fits:
            check_labels(config, keeping)
            continue
        with pytest.raises(UserError) as caught:
            check_labels(config, keeping)
        assert str(caught.value) == (
            "runtime.keep_teacher_maps=true needs images that are the same in every epoch, and "
            "pretrained.augmentations.crop_images changes them at random: use --set "
            "pretrained.augmentations.crop_images.min_area=1 --set "
            "pretrained.augmentations.crop_images.flip_chance=0, as recipe scalr has it, or use "
            "--set runtime.keep_teacher_maps=false."
        )
        with pytest.raises(UserError, match="changes them at random"):
            pretrain(config, keeping, LocalWorker(), NullTracker())
        check_labels(config, place)
        check_labels(config.override({"num_epochs": 0}), keeping)  # no teacher, nothing to keep
    assert not list(Path(place.out).glob("pretrained"))


def test_an_augmentation_that_does_not_say_what_it_does_is_taken_to_draw() -> None:
    class Blur(Augmentation):
        def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
            return sample

    assert Blur().effect_on_images == "random"
    with pytest.raises(
        UserError, match=r"leave it out by --set pretrained.augmentations.blur=null"
    ):
        require_fixed_images({"turn": RotateFlip(), "cut": DropCuboid(), "blur": Blur()})
    require_fixed_images({"turn": RotateFlip(), "cut": DropCuboid(), "blur": None})


def world(fingerprint: str = "data", camera_names: tuple[str, ...] = ("A", "B")) -> NuscenesFrames:
    """Return a data set of which nothing is read."""
    nowhere = Path("nowhere")
    return NuscenesFrames(nowhere, "v1.0-mini", nowhere, camera_names, fingerprint, "", ())


FIXED = CropImages(rows_px=44, columns_px=80, min_area=1.0, flip_chance=0.0)


def maps_of(tmp_path: Path, teacher=None, frames=None, augmentations=(FIXED,), **more):
    given = {"image_size_px": (44, 80), "precision": "float32", "device": CPU, **more}
    teacher = teacher or FilterBankTeacher(width=8)
    return TeacherMapCache.open(
        Store(tmp_path),
        teacher,
        world() if frames is None else frames,
        augmentations=augmentations,
        **given,
    )


@pytest.fixture
def weights(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not read here")
    return path


def test_the_fingerprint_is_of_all_that_decides_a_map_and_of_nothing_else(
    tmp_path: Path, weights: Path
) -> None:
    own = maps_of(tmp_path).fingerprint
    assert maps_of(tmp_path, augmentations=(RotateFlip(), FIXED, DropCuboid())).fingerprint == own
    others = [
        maps_of(tmp_path, teacher=FilterBankTeacher(width=9)),
        maps_of(tmp_path, frames=world("other")),
        maps_of(tmp_path, frames=world(camera_names=("B", "A"))),
        maps_of(tmp_path, frames=world(camera_names=("A",))),
        maps_of(tmp_path, augmentations=()),
        maps_of(tmp_path, precision="bfloat16"),  # autocast reaches this teacher
        maps_of(tmp_path, device=torch.device("cuda")),
        *(
            maps_of(tmp_path, augmentations=(FIXED.override({name: value}),))
            for name, value in {"rows_px": 45, "flip_chance": 1.0, "max_shrink": 2}.items()
        ),
    ]
    found = {own, *(maps.fingerprint for maps in others)}
    assert len(found) == 1 + len(others)

    teacher = ResNet50Teacher(weights=str(weights))
    own = maps_of(tmp_path, teacher).fingerprint
    assert maps_of(tmp_path, teacher, precision="bfloat16").fingerprint == own  # it has its own
    assert maps_of(tmp_path, teacher.override({"compile": True})).fingerprint != own
    weights.write_bytes(b"other weights")
    os.utime(weights, ns=(1, 1))
    assert maps_of(tmp_path, teacher).fingerprint != own


def test_numbers_that_this_processor_has_are_part_of_the_fingerprint(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = ResNet50Teacher(weights=str(weights), precision="bfloat16")
    found = {}
    for has in (False, True):
        monkeypatch.setattr("olivine.core.devices.has_bfloat16", lambda has=has: has)
        found[has] = maps_of(tmp_path, teacher)
    assert found[False].dtype == torch.float32
    assert found[True].dtype == torch.bfloat16
    assert found[False].fingerprint != found[True].fingerprint
    assert found[False].num_bytes(6) == 2 * found[True].num_bytes(6) == 6 * 2048 * 11 * 20 * 4


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    num_images=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_read_is_what_was_written_bit_by_bit_and_lies_alike(
    shape, num_images, dtype, channels_last, seed
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        maps = TeacherMapCache(Store(folder), "ab", shape, dtype)
        check_round_trip(maps, num_images, channels_last, seed)


def check_round_trip(
    maps: TeacherMapCache, num_images: int, channels_last: bool, seed: int
) -> None:
    shape, dtype = maps.shape, maps.dtype
    generator = torch.Generator().manual_seed(seed)
    said = torch.randn(num_images, *shape, generator=generator).to(dtype)
    said[0, 0, 0, 0] = float("nan")
    form = torch.channels_last if channels_last else torch.contiguous_format
    said = said.contiguous(memory_format=form)

    assert maps.read("frame", num_images) is None
    maps.write("frame", said)
    found = maps.read("frame", num_images)

    assert found is not None
    assert found.dtype == dtype
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    assert torch.equal(found.contiguous().view(bits), said.contiguous().view(bits))
    assert found.is_contiguous(memory_format=form)
    with pytest.warns(UserWarning, match="cannot be used"):
        assert maps.read("frame", num_images + 1) is None
    maps.write("frame", said)
    with pytest.warns(UserWarning, match="cannot be used"):
        assert replace(maps, dtype=torch.float64).read("frame", num_images) is None


def sample_of(token: str, num_images: int) -> Sample:
    rng = np.random.default_rng(len(token) + num_images)
    pixels = np.stack([np.arange(num_images), *[np.zeros(num_images, np.int64)] * 2], axis=1)
    return Sample(
        token=token,
        xyz_m=rng.uniform(5, 20, (40, 3)).astype(np.float32) * [1, 1, 0.05],
        intensity=np.ones(40, np.float32),
        range_m=np.ones(40),
        images=tuple(
            map(DecodedImage, rng.integers(0, 256, (num_images, 8, 12, 3), dtype=np.uint8))
        ),
        pairs=Correspondences(np.arange(num_images), pixels),
        pair_class=np.zeros(num_images, np.uint8),
    )


def test_of_a_mixed_batch_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    """Frames have one image, two and three; a warm-up knew those of the middle alone."""
    samples = [sample_of("a", 2), sample_of("bb", 3), sample_of("c", 1)]
    network, asked = FilterBank(8), []
    maps = maps_of(tmp_path, image_size_px=(8, 12))

    def teacher(images: Tensor) -> Tensor:
        asked.append(len(images))
        return network(images)

    collate = Collate(Voxelizer(), read_maps=maps.read)
    plain = Collate(Voxelizer())
    alone = torch.cat([network(plain([sample]).images) for sample in samples])
    maps.of_batch(teacher, collate(samples[1:2]))
    asked.clear()

    batch = collate(samples)
    assert batch.has_maps == (False, True, False)
    assert batch.images.shape == (3, 3, 8, 12)
    assert torch.equal(maps.of_batch(teacher, batch), alone)
    assert asked == [2, 1]

    again = collate(samples)
    assert again.images.shape == (0, 3, 8, 12)  # the size is still known
    assert torch.equal(maps.of_batch(teacher, again), alone)
    # All images at once: the same up to how products of another size round.
    whole = network(plain(samples).images)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))
    assert asked == [2, 1]
    assert torch.equal(again.pairs.pixel_index, batch.pairs.pixel_index)


def test_a_disk_without_room_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    maps = maps_of(tmp_path / "not" / "there")
    maps.announce(1, 1, prints=False)
    assert not capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 10**9})())
    maps.announce(10**4, 6)
    with pytest.raises(UserError, match=r"keeps 4.22 GB in .*, and its disk has 1 GB free: "):
        maps.announce(10**5, 6)
