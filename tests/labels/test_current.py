"""Label maps know their images: those of changed ones are made again, and never used unasked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.images import EncodedImage
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.current import require_current
from olivine.labels.image_list import NAME
from olivine.labels.job import LabelResult, label
from olivine.labels.labellers.lidarseg_truth import LidarsegTruth
from olivine.labels.labellers.regions import Regions
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import NullTracker
from tests.support.image_folder import Folder, Threshold, content, write_images


def run(tmp_path: Path, selection: Selection = EVERY_NEW_IMAGE, **settings: object) -> LabelResult:
    config = LabelConfig(dataset=Folder(), labeller=Threshold.model_validate(settings))
    runtime = Runtime(
        data_root=str(tmp_path / "data"), out=str(tmp_path / "out"), label_batch_size=4
    )
    return label(config, runtime, NullTracker(), selection=selection)


def store_of(tmp_path: Path) -> LabelStore:
    frames = Folder().open(tmp_path / "data", tmp_path)
    return LabelStore.of(tmp_path / "out", frames, Threshold())


def brighten(path: Path) -> None:
    """Replace an image by a white one of the same sides and another number of bytes."""
    with Image.open(path) as image:
        size = image.size
    Image.new("RGB", size, "white").save(path)


def test_maps_of_changed_images_are_made_again_and_no_others(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 6)
    run(tmp_path)
    brighten(tmp_path / "data" / names[1])

    with pytest.raises(UserError, match=rf"1 of the 6 label maps .* {names[1]}, \d+ bytes then"):
        require_current(store_of(tmp_path), Folder().open(tmp_path / "data", tmp_path))
    again = run(tmp_path, log=str(tmp_path / "log"))

    assert (again.num_labelled, again.num_done_before, again.num_outdated) == (1, 5, 1)
    assert "the maps of 1 were of images that have changed since" in str(again)
    with Image.open(tmp_path / "data" / names[1]) as image:
        assert (tmp_path / "log").read_text().split() == [content(np.array(image))]
    assert (store_of(tmp_path).read(names[1]) == 1).all()
    require_current(store_of(tmp_path), Folder().open(tmp_path / "data", tmp_path))
    assert run(tmp_path).num_labelled == 0


def test_a_killed_job_leaves_maps_that_know_their_images(tmp_path: Path) -> None:
    """The list is written when a job ends; without it, the maps themselves are read."""
    names = write_images(tmp_path / "data", 4)
    run(tmp_path)
    (listed,) = (tmp_path / "out").rglob(NAME)
    before = listed.read_text()
    assert len(before.splitlines()) == 1 + 4, "the checksum, and a line per map"
    listed.unlink()
    brighten(tmp_path / "data" / names[0])

    assert run(tmp_path).num_outdated == 1
    assert len(listed.read_text().splitlines()) == 1 + 4
    listed.write_bytes(b"\xff no list\n")
    with pytest.warns(UserWarning, match=r"images\.tsv"):
        assert run(tmp_path).num_labelled == 0


def test_a_map_is_refused_for_another_image_of_the_same_size(tmp_path: Path) -> None:
    (name,) = write_images(tmp_path / "data", 1)
    run(tmp_path)
    data = (tmp_path / "data" / name).read_bytes()
    store, size_px = store_of(tmp_path), (9, 16)

    assert store.read_for(name, EncodedImage(data, name, size_px, "")).shape == size_px
    other = EncodedImage(data[:-3] + b"\0\0\0", name, size_px, "")
    with pytest.raises(UserError, match=rf"was made of another image than {name} is now"):
        store.read_for(name, other)


def as_before_0_3(tmp_path: Path) -> LabelStore:
    """Make a finished store one of 0.2: of format 1, without a list, maps without a text."""
    store = store_of(tmp_path)
    folder = Path(store.path)
    about = json.loads((folder / "labeller.json").read_text())
    about = {name: value for name, value in about.items() if name != "xxh3_64"}
    (folder / "labeller.json").write_text(json.dumps({**about, "format": 1}))
    (folder / NAME).unlink()
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
            Image.fromarray(np.asarray(image)).save(path)
    return store_of(tmp_path)


def test_an_old_store_is_read_and_not_used_unasked(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 5)
    run(tmp_path)
    old = as_before_0_3(tmp_path)
    assert not old.records_images
    assert old.read(names[0]).shape == (9, 16)
    words = (
        r"Labels of the same tables are in .*before 0\.3, which did not record .* --adopt.* --force"
    )
    with pytest.raises(UserError, match=words):
        run(tmp_path)
    maps = {path: path.read_bytes() for path in Path(old.path).rglob("*.png")}

    adopted = run(tmp_path, Selection(adopt=True))

    assert (adopted.num_labelled, adopted.num_done_before) == (0, 5)
    assert {path: path.read_bytes() for path in maps} == maps
    assert run(tmp_path, Selection(adopt=True)).num_done_before == 5
    brighten(tmp_path / "data" / names[2])
    assert run(tmp_path).num_outdated == 1


def test_without_an_old_store_there_is_nothing_to_take_over(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 1)
    with pytest.raises(UserError, match=r"no labels of a version before 0\.3 to take over"):
        run(tmp_path, Selection(adopt=True))


def test_an_old_store_can_be_made_anew(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 3)
    run(tmp_path)
    as_before_0_3(tmp_path)
    assert run(tmp_path, Selection(force=True)).num_labelled == 3
    assert store_of(tmp_path).records_images
    assert run(tmp_path).num_done_before == 3


def test_what_else_a_labeller_reads_decides_its_store(tiny_world: Path, tmp_path: Path) -> None:
    from olivine.data.datasets.nuscenes import Nuscenes

    assert Regions(of=LidarsegTruth()).reads == LidarsegTruth().reads == ("point_labels", "scans")
    assert Threshold().reads == ()
    root = tmp_path / "data"
    for name in ("v1.0-mini", "lidarseg", "samples/LIDAR_TOP"):
        shutil.copytree(tiny_world / name, root / name)

    def places() -> list[str]:
        frames = Nuscenes(version="v1.0-mini", split="mini_val").open(root, tmp_path / "cache")
        return [LabelStore.of(tmp_path, frames, one).path for one in (LidarsegTruth(), Threshold())]

    before = places()
    label_file = next(
        root / name
        for name in Nuscenes(version="v1.0-mini", split="mini_val")
        .open(root, tmp_path / "cache")
        .split_files()  # type: ignore[attr-defined] # nuScenes' have it
        .point_labels
    )
    label_file.write_bytes(label_file.read_bytes()[::-1])
    after = places()
    assert after[0] != before[0]
    assert after[1] == before[1]
