import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.labels.store import LabelStore, label_map_name
from tests.support.image_folder import Threshold

NAME = "samples/CAM_FRONT/a.b.jpg"
FOLDER = "labels/f01de4-0ddba11"


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    store = LabelStore(tmp_path, "f01de4", "0ddba11")
    store.begin(Threshold())
    return store


def put(tmp_path: Path, ids: np.ndarray) -> None:
    path = tmp_path / FOLDER / "samples/CAM_FRONT/a.b.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    Image.fromarray(ids).save(stream, format="PNG")
    path.write_bytes(stream.getvalue())


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 99))
def test_maps_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, seed: int
) -> None:
    store = LabelStore(tmp_path_factory.mktemp("labels"), "f01de4", "0ddba11")
    store.begin(Threshold())
    ids = np.random.default_rng(seed).choice([0, 1, IGNORE], (rows, columns)).astype(np.uint8)

    store.write(NAME, ids)
    np.testing.assert_array_equal(store.read(NAME, (rows, columns)), ids)
    assert store.class_names == ("dark", "bright")


def test_a_map_is_one_grey_png_beside_a_description(store: LabelStore, tmp_path: Path) -> None:
    store.write(NAME, np.zeros((2, 3), np.uint8))

    with Image.open(tmp_path / FOLDER / "samples/CAM_FRONT/a.b.png") as image:
        assert (image.mode, image.size) == ("L", (3, 2))
    about = json.loads((tmp_path / FOLDER / "labeller.json").read_text())
    assert about["class_names"] == ["dark", "bright"]
    assert about["ignore_id"] == IGNORE
    assert about["labeller"]["kind"] == Threshold.kind
    assert (about["dataset"], about["identity"]) == ("f01de4", "0ddba11")
    assert store.listing()[0] == {"samples/CAM_FRONT/a.b.png"} == {label_map_name(NAME)}


def test_another_process_and_a_later_one_read_the_same(store: LabelStore, tmp_path: Path) -> None:
    store.write(NAME, np.ones((2, 3), np.uint8))

    for other in (
        pickle.loads(pickle.dumps(store)),
        LabelStore.open(tmp_path, "f01de4", "0ddba11"),
    ):
        np.testing.assert_array_equal(other.read(NAME), np.ones((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.zeros((2, 4), np.uint8), "2 rows and 4 columns, its image 2 and 3"),
        (np.full((2, 3), 2, np.uint8), "unknown class 2; allowed are 0 to 1 and 255"),
        (np.full((2, 3), 254, np.uint8), "unknown class 254"),
        (np.zeros((2, 3, 3), np.uint8), "one channel of 8 bits, it has PNG mode RGB"),
        (np.zeros((2, 3), np.uint16), "one channel of 8 bits"),
    ],
)
def test_a_map_that_does_not_fit_is_one_sentence(
    store: LabelStore, tmp_path: Path, ids: np.ndarray, words: str
) -> None:
    put(tmp_path, ids)

    with pytest.raises(UserError, match=words):
        store.read(NAME, (2, 3))


def test_a_missing_or_broken_map_names_the_command(store: LabelStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing; run `olivine label`"):
        store.read(NAME, (2, 3))
    put(tmp_path, np.zeros((20, 30), np.uint8))
    path = tmp_path / FOLDER / "samples/CAM_FRONT/a.b.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="not a readable PNG"):
        store.read(NAME)


def test_opening_checks_what_lies_there(store: LabelStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No labels at .*run `olivine label`"):
        LabelStore.open(tmp_path, "f01de4", "another")
    about = tmp_path / FOLDER / "labeller.json"
    about.write_text(about.read_text().replace("0ddba11", "another"))
    with pytest.raises(UserError, match=r"labeller\.json is damaged.*run `olivine label` again"):
        LabelStore.open(tmp_path, "f01de4", "0ddba11")
    tree = json.loads(about.read_text())
    del tree["xxh3_64"]
    about.write_text(json.dumps(tree))  # as versions before 0.3 wrote it
    with pytest.raises(UserError, match="does not describe the labels"):
        LabelStore.open(tmp_path, "f01de4", "0ddba11")
    about.write_text("{")
    with pytest.raises(UserError, match="not a JSON object"):
        LabelStore.open(tmp_path, "f01de4", "0ddba11")


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "samples/../../a.jpg", ""])
def test_no_name_leaves_the_folder(name: str) -> None:
    with pytest.raises(UserError, match="must be a path below"):
        label_map_name(name)


def test_failures_are_recorded_and_forgotten(store: LabelStore) -> None:
    assert store.failed() == {}
    store.record_failure(NAME, "cut off")
    store.record_failure("samples/other.jpg", "too dark")
    store.record_failure(NAME, "still cut off")
    assert store.failed() == {NAME: "still cut off", "samples/other.jpg": "too dark"}
    assert store.listing() == (set(), {NAME, "samples/other.jpg"})
    assert store.listing()[0] == set()
    store.forget_failure(NAME)
    store.forget_failure(NAME)  # by two jobs at once
    assert store.failed() == {"samples/other.jpg": "too dark"}
    with pytest.raises(UserError, match="must be a path below"):
        store.record_failure("../a.jpg", "outside")
