from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.labels.batches import MAX_IMAGES, BatchLabeller, batch_cap, block_sizes
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.labels.memory import out_of_memory
from olivine.labels.records import FailedImage, LabelledImage, ReadImage
from tests.support.image_folder import FolderFrames, Threshold


class Watched(Labeller):
    """Remembers the sizes of its batches; memory is short above `num_fitting`."""

    num_fitting: int = 1000
    error: str = ""  # of loading

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("red",)

    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        if self.error:
            raise torch.OutOfMemoryError(self.error)
        sizes.clear()
        return self.label

    def label(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        sizes.append(len(images))
        if len(images) > self.num_fitting:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [image[..., 0] for image in images]


sizes: list[int] = []


def loaded(size: int, labeller: Labeller) -> BatchLabeller:
    return BatchLabeller(labeller, torch.device("cpu"), FolderFrames(Path()), size)


def images(num_images: int) -> list[ReadImage | FailedImage]:
    pixels = [np.full((2, 3, 3), value, np.uint8) for value in range(num_images)]
    return [ReadImage(str(number), image) for number, image in enumerate(pixels)]


def brightest(image: LabelledImage | FailedImage) -> int:
    assert isinstance(image, LabelledImage)
    return int(image.ids.max())


def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    labeller = loaded(16, Watched(num_fitting=5))

    first = labeller(images(16))
    second = labeller(images(9))

    assert [record.getMessage() for record in caplog.records] == [
        "16 images at once need more memory than there is; 8 are labelled at once from here on.",
        "8 images at once need more memory than there is; 4 are labelled at once from here on.",
    ]

    assert sizes == [16, 8, 4, 4, 4, 4, 4, 4, 1]
    assert labeller.size == 4
    for labelled in (first, second):
        assert [image.name for image in labelled] == [str(i) for i in range(len(labelled))]
        assert [brightest(image) for image in labelled] == list(range(len(labelled)))


def test_an_image_that_does_not_fit_alone_is_a_failure() -> None:
    labeller = loaded(2, Watched(num_fitting=0))
    reason = "OutOfMemoryError: CUDA out of memory."
    assert labeller(images(2)) == [FailedImage("0", reason), FailedImage("1", reason)]
    assert sizes == [2, 1, 1]


def test_a_bad_image_costs_only_itself() -> None:
    bright = [np.full((2, 2, 3), value, np.uint8) for value in (10, 200, 90)]
    labeller = loaded(4, Threshold(refuse_mean=150))

    unreadable = FailedImage("b", "unreadable")
    first, *others = (ReadImage(*one) for one in zip("acd", bright, strict=True))

    labelled = labeller([first, unreadable, *others])

    assert labelled[1:3] == [unreadable, FailedImage("c", "ValueError: too bright")]
    assert [brightest(labelled[i]) for i in (0, 3)] == [0, 0]
    assert labeller.size == 4  # it was not for want of memory
    assert labeller([unreadable]) == [unreadable]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda maps: [ids[1:] for ids in maps], r"uint8 of shape \(1, 3\) for 0, of 2 rows and 3"),
        (lambda maps: [ids.astype(float) for ids in maps], r"float64 of shape \(2, 3\) for 0"),
        (lambda maps: maps[1:], "1 maps for 2 images"),
        (lambda maps: None, "returned a value of type NoneType, and it must"),
        (lambda maps: [ids.tolist() for ids in maps], "a value of type list for 0, of 2 rows"),
        (lambda maps: [torch.tensor(ids) for ids in maps], "a value of type Tensor for 0"),
    ],
)
def test_what_is_no_map_of_an_image_is_a_fault_of_the_labeller(change, told) -> None:
    class Wrong(Watched):
        def label(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
            return change(super().label(images, names))

    with pytest.raises(UserError, match=told):
        loaded(4, Wrong())(images(2))


def test_a_measured_size_follows_from_the_first_good_image() -> None:
    labeller = loaded(0, Watched())
    labelled = labeller([FailedImage("b", "unreadable"), *images(40)])
    assert sizes == [1, MAX_IMAGES, 7]  # small images: as many as are allowed
    assert len(labelled) == 41

    class Hungry(Watched):
        def label(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
            # A quarter of what is free, per image: two or three of them are safe.
            block = np.ones(int(free_bytes() / 4), np.uint8)
            del block
            return super().label(images, names)

    labeller = loaded(0, Hungry())
    labeller(images(9))
    assert sizes[0] == 1
    assert labeller.size in (2, 3, 4)


def free_bytes() -> int:
    """Return a gigabyte, which the test pretends is all that is free."""
    return 1 << 30


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olivine.labels.memory._free_bytes", free_bytes)


def test_a_labeller_without_room_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"does not fit into the memory.*gpus_per_label_actor"):
        loaded(1, Watched(error="CUDA out of memory."))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) is expected


@pytest.mark.parametrize("num_images", [0, 1, 7, 8, 81, 4000])
@pytest.mark.parametrize("num_actors", [1, 2, 64])
def test_blocks_are_whole_batches_and_shrink_towards_the_end(
    num_images: int, num_actors: int
) -> None:
    blocks = block_sizes(num_images, 8, num_actors)
    assert sum(blocks) == num_images
    assert all(size % 8 == 0 for size in blocks[:-1])
    assert blocks == sorted(blocks, reverse=True)
    assert all(0 < size <= 80 for size in blocks)


def test_zero_means_as_many_as_fit_up_to_a_bound() -> None:
    assert batch_cap(Runtime(label_batch_size=0)) == MAX_IMAGES
    assert batch_cap(Runtime(label_batch_size=5)) == 5
