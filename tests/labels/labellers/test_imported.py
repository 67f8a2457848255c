from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.records import IGNORE
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.labellers.imported import GENERATION_A, GENERATION_B, Imported
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import NullTracker
from tests.support.image_folder import FINGERPRINT, Folder, FolderFrames, write_images

NAME = "samples/CAM_0/image-000.jpg"  # 9 rows, 16 columns
MAP = "camseg/CAM_0/image-000.png"
CPU = torch.device("cpu")
B = {"source": "theirs", "generation": "B"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path, 1)
    return tmp_path


def put(path: Path, ids: np.ndarray, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids)
    if palette:
        image.putpalette(palette)
    image.save(path)


def every_id(ids: list[int]) -> np.ndarray:
    """Return a map of the image's size whose first pixels are these ids, the rest the first."""
    flat = np.full(9 * 16, ids[0], np.uint8)
    flat[: len(ids)] = ids
    return flat.reshape(9, 16)


def take(root: Path, **settings: object) -> np.ndarray:
    frames = FolderFrames(root)
    labeller = Imported.from_dict(settings).build(CPU, frames)
    (ids,) = labeller([frames.read_image(NAME)], [NAME])
    assert (ids.shape, ids.dtype) == ((9, 16), np.uint8)
    return ids.ravel()


def test_generation_a_begins_with_the_background(root: Path) -> None:
    put(root / MAP, every_id([*range(14), 255]))

    ids = take(root, source="theirs", generation="A")

    assert ids[:15].tolist() == [IGNORE, *range(13), IGNORE]
    names = Imported(source="theirs", generation="A").class_names
    assert names == GENERATION_A
    assert (names[0], names[12], len(names)) == ("barrier", "building", 13)


@pytest.mark.parametrize(("zero", "first"), [("ignore", IGNORE), ("barrier", 0)])
def test_zero_of_generation_b_is_a_choice(root: Path, zero: str, first: int) -> None:
    put(root / MAP, every_id([*range(17), 255]))

    ids = take(root, **B, zero=zero)

    assert ids[:18].tolist() == [first, *range(1, 16), IGNORE, IGNORE]
    assert Imported.from_dict(B).zero == "ignore"
    assert Imported.from_dict(B).class_names == GENERATION_B
    assert len(GENERATION_B) == 16


def test_own_names_are_sorted_by_the_ids_in_the_files(root: Path) -> None:
    put(root / "mine/CAM_0/image-000.png", every_id([200, 7, 3, 255]), [*range(256)] * 3)
    own = {"source": "ours", "class_ids": {"sky": 200, "road": 7}, "ignored_ids": [3]}

    assert Imported.from_dict(own).class_names == ("road", "sky")
    assert take(root, **own, folder="mine")[:4].tolist() == [1, 0, IGNORE, IGNORE]


def test_any_folder_that_mirrors_the_names_will_do(root: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("maps")
    put(elsewhere / "samples/CAM_0/image-000.png", every_id([3]))

    for folder in (str(elsewhere), elsewhere.as_uri()):
        assert set(take(root, **B, folder=folder, image_prefix="")) == {3}


def test_a_folder_without_any_of_the_maps_is_refused_at_once(root: Path) -> None:
    with pytest.raises(UserError, match=r"No label map .*camseg/CAM_0/image-000\.png of samples/"):
        take(root, **B)
    put(root / MAP, every_id([3]))
    with pytest.raises(UserError, match="does not begin with image_prefix='sweeps/'"):
        take(root, **B, image_prefix="sweeps/")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (every_id([5, 17]), "has the id 17, and the vocabulary knows 0, 1, .* 16, 255"),
        (np.zeros((16, 9), np.uint8), "16 rows and 9 columns, its image 9 and 16"),
        (np.zeros((9, 16, 3), np.uint8), "one channel of 8 bits, it has PNG mode RGB"),
        (np.zeros((9, 16), np.uint16), "one channel of 8 bits"),
    ],
)
def test_a_map_that_does_not_fit_is_one_sentence(root: Path, ids: np.ndarray, words: str) -> None:
    put(root / MAP, ids)

    with pytest.raises(UserError, match=rf"The map .*image-000\.png .*{words}"):
        take(root, **B)


def test_what_is_missing_or_broken_is_recorded_by_the_job_and_the_rest_is_taken(
    tmp_path: Path,
) -> None:
    names = write_images(tmp_path / "data", 4)
    whole, missing, cut, other = (
        tmp_path / "data/camseg" / name.removeprefix("samples/").replace("jpg", "png")
        for name in names
    )
    for name, path in zip(names, (whole, missing, cut, other), strict=True):
        with Image.open(tmp_path / "data" / name) as image:
            put(path, np.full(image.size[::-1], 4, np.uint8))
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:40])
    config = LabelConfig(dataset=Folder(), labeller=Imported.from_dict(B))
    runtime = Runtime(data_root=str(tmp_path / "data"), out=str(tmp_path / "out"))

    result = label(config, runtime, NullTracker())

    assert result.num_labelled == 2
    assert set(result.failed) == {names[1], names[2]}
    assert "No such file" in result.failed[names[1]]
    assert "not a readable PNG" in result.failed[names[2]]
    store = LabelStore.open(tmp_path / "out", FINGERPRINT, config.labeller.identity)
    assert store.class_names[4] == "truck"


def test_identity_is_of_the_labels_and_not_of_their_place() -> None:
    labels = Imported.from_dict(B)

    assert labels.identity == labels.override({"folder": "/mnt/camseg"}).identity
    assert labels.fingerprint() == labels.override({"folder": "/mnt/camseg"}).fingerprint()
    changes = {"source": "ours", "generation": "A", "zero": "barrier", "ignored_ids": [40]}
    others = {labels.override({name: value}).identity for name, value in changes.items()}
    assert len(others | {labels.identity}) == 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"generation": "A"}, "need a name of their own"),
        ({"source": "theirs"}, "need a vocabulary: set generation=A or"),
        ({**B, "class_ids": {"a": 1}}, "generation or class_ids, not both"),
        ({"class_ids": {"a": 1, "b": 1}}, "an id of its own from 0 to 254"),
        ({"class_ids": {"a": 255}}, "an id of its own from 0 to 254"),
        ({"class_ids": {"a": 1}, "ignored_ids": [1]}, "id 1 is in class_ids and in ignored_ids"),
        ({"ignored_ids": [256]}, "whole numbers from 0 to 255"),
    ],
)
def test_settings_that_say_too_little_or_too_much(settings: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        _ = Imported.from_dict(settings).identity
