from pathlib import Path

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.labels.labellers.embedded import CLASS_NAMES, Embedded
from olivine.labels.labellers.embedded import labeller as embedded
from olivine.labels.labellers.embedded import weights as embedded_weights
from olivine.labels.labellers.embedded.labeller import SmallSegmenter
from tests.support.image_folder import FolderFrames

CPU = torch.device("cpu")
FRAMES = FolderFrames(Path())
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (6, 10, 3)).repeat(15, axis=0).repeat(16, axis=1)
    return [
        smooth.astype(np.uint8),
        rng.integers(0, 256, (225, 400, 3), dtype=np.uint8),
        rng.integers(0, 256, (48, 160, 3), dtype=np.uint8),
    ]


def test_maps_have_the_images_size_and_known_classes(images: list[np.ndarray]) -> None:
    maps = Embedded().build(CPU, FRAMES)(images, NAMES)

    for image, ids in zip(images, maps, strict=True):
        assert ids.shape == image.shape[:2]
        assert ids.dtype == np.uint8
        assert set(np.unique(ids)) <= {*range(len(CLASS_NAMES)), IGNORE}


def test_labels_do_not_depend_on_the_batch_or_the_threads(images: list[np.ndarray]) -> None:
    labeller = Embedded(min_confidence=0.2).build(CPU, FRAMES)
    num_threads = torch.get_num_threads()
    together = labeller(images, NAMES)
    try:
        torch.set_num_threads(2)
        alone = [labeller([image], NAMES[:1])[0] for image in reversed(images)][::-1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(num_threads)

    for first, second in zip(together, alone, strict=True):
        np.testing.assert_array_equal(first, second)


def test_images_that_cannot_be_written_are_labelled(images: list[np.ndarray]) -> None:
    image = images[0].copy()
    image.setflags(write=False)

    Embedded().build(CPU, FRAMES)([image], NAMES[:1])


def test_a_higher_threshold_only_takes_labels_away(images: list[np.ndarray]) -> None:
    every = Embedded(min_confidence=0.0).build(CPU, FRAMES)(images, NAMES)
    sure = Embedded(min_confidence=0.7).build(CPU, FRAMES)(images, NAMES)

    for all_ids, ids in zip(every, sure, strict=True):
        kept = ids != IGNORE
        np.testing.assert_array_equal(ids[kept], all_ids[kept])
        assert kept.sum() < (all_ids != IGNORE).sum()


def test_identity_follows_settings_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Embedded().identity
    assert first == Embedded().identity != Embedded(min_confidence=0.4).identity

    other = tmp_path / "weights.npz"
    embedded.write_weights(other, SmallSegmenter().state_dict())
    monkeypatch.setattr(embedded_weights, "WEIGHTS", other)
    embedded_weights.weights_hash.cache_clear()
    assert Embedded().identity != first
    other.unlink()
    embedded_weights.weights_hash.cache_clear()
    with pytest.raises(UserError, match="Cannot read the embedded labeller's weights"):
        _ = Embedded().identity
    monkeypatch.undo()
    embedded_weights.weights_hash.cache_clear()


def test_weights_are_small_and_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    assert embedded_weights.WEIGHTS.stat().st_size < 300_000
    for data in (b"", b"no archive", embedded_weights.WEIGHTS.read_bytes()[:1000]):
        broken = tmp_path / "weights.npz"
        broken.write_bytes(data)
        with pytest.raises(UserError, match="Cannot read the embedded labeller's weights"):
            embedded.read_weights(broken)


def test_it_has_sixteen_classes() -> None:
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 16
