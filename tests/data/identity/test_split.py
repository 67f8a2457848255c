"""What changes the identity of a split's data, and what does not, on a disk and in a bucket."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.file_stats import FolderStats
from olivine.core.storage import Store
from olivine.data.dataset import Frames
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.identity import contents
from olivine.data.identity.file_lists import differences, keep_file_lists
from olivine.data.identity.split import PARTS, SplitIdentity, identity_of
from olivine.testing.frames import InMemoryFrames
from tests.support.image_folder import Folder, write_images
from tests.support.servers.bucket_server import BUCKET, copy_to_bucket, s3_server

MINI = Nuscenes(version="v1.0-mini", split="mini_val", cameras=("CAM_FRONT", "CAM_BACK"))


@pytest.fixture
def root(tiny_world: Path, tmp_path: Path) -> Path:
    """Return a copy of the tables and of the files of the split, to be changed."""
    root = tmp_path / "data"
    shutil.copytree(tiny_world / "v1.0-mini", root / "v1.0-mini")
    files = opened(tiny_world, tmp_path).split_files()  # type: ignore[attr-defined] # nuScenes' have it
    for name in (*files.scans, *files.images, *files.point_labels):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_world / name, root / name)
    return root


def opened(root: str | Path, tmp_path: Path) -> Frames:
    return MINI.open(root, tmp_path / "cache")


def values(root: str | Path, tmp_path: Path) -> dict[str, str]:
    return identity_of(opened(root, tmp_path)).values(*PARTS)


def first(root: Path, tmp_path: Path, part: str) -> Path:
    return root / getattr(opened(root, tmp_path).split_files(), part)[0]  # type: ignore[attr-defined] # as above


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name, value in before.items() if after[name] != value}


@pytest.mark.parametrize("part", ["scans", "images"])
def test_another_size_changes_its_part_alone(root: Path, tmp_path: Path, part: str) -> None:
    before = values(root, tmp_path)
    path = first(root, tmp_path, part)
    path.write_bytes(path.read_bytes() + bytes(20))
    assert changed(before, values(root, tmp_path)) == {part}


def test_other_labels_of_the_same_size_change_the_labels_alone(root: Path, tmp_path: Path) -> None:
    before = values(root, tmp_path)
    path = first(root, tmp_path, "point_labels")
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert changed(before, values(root, tmp_path)) == {"point_labels"}


def test_contents_of_the_same_size_are_seen_of_labels_alone(root: Path, tmp_path: Path) -> None:
    """So the documentation says, and that `olivine data check --hash` sees them."""
    before = values(root, tmp_path)
    for part in ("scans", "images"):
        path = first(root, tmp_path, part)
        path.write_bytes(bytes(path.stat().st_size))
    assert changed(before, values(root, tmp_path)) == set()


def test_a_touched_and_a_copied_data_set_are_the_same(root: Path, tmp_path: Path) -> None:
    before = values(root, tmp_path)
    for path in root.rglob("*"):
        os.utime(path, ns=(7, 7))
    assert values(root, tmp_path) == before
    shutil.copytree(root, tmp_path / "elsewhere")
    assert values(tmp_path / "elsewhere", tmp_path / "another") == before
    link = tmp_path / "link"
    link.symlink_to(root)
    assert values(link, tmp_path) == before


@pytest.fixture
def bucket(root: Path) -> Iterator[str]:
    with s3_server():
        copy_to_bucket(root, f"s3://{BUCKET}/data")
        yield f"s3://{BUCKET}/data"


def test_a_bucket_has_the_identity_of_the_disk_and_changes_as_it_does(
    bucket: str, root: Path, tmp_path: Path
) -> None:
    before = values(root, tmp_path)
    assert values(bucket, tmp_path) == before
    store = Store(bucket)
    for part, change in (("scans", bytes(20)), ("images", b"x")):
        name = first(root, tmp_path, part).relative_to(root).as_posix()
        data = store.read(name)
        store.write(name, data + change)
        assert changed(before, values(bucket, tmp_path)) == {part}
        store.write(name, data)
    name = first(root, tmp_path, "point_labels").relative_to(root).as_posix()
    data = store.read(name)
    store.write(name, bytes([data[0] ^ 1]) + data[1:])
    assert changed(before, values(bucket, tmp_path)) == {"point_labels"}
    store.delete(name)
    with pytest.raises(UserError, match=rf"1 of the 8 files .* below {bucket}, the first is"):
        identity_of(opened(bucket, tmp_path)).require("scans", "point_labels")


def test_a_bucket_is_listed_once_per_folder(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = opened(bucket, tmp_path)
    asked: list[str] = []
    listing = Store.sizes_and_times

    def counted(self: Store, folder: str = "", *, recursive: bool = False) -> dict:
        asked.append(folder)
        return listing(self, folder, recursive=recursive)

    monkeypatch.setattr(Store, "sizes_and_times", counted)
    stats = FolderStats(bucket)
    for one in (frames, MINI.open(bucket, tmp_path / "cache", stats)):
        del asked[:]
        identity = identity_of(one)
        identity.require("scans", "images")
        identity.of("scans", "images")
        assert sorted(asked) == [
            f"samples/{name}" for name in ("CAM_BACK", "CAM_FRONT", "LIDAR_TOP")
        ]
    del asked[:]
    identity_of(MINI.open(bucket, tmp_path / "cache", stats)).of("scans", "images")
    assert [folder for folder in asked if folder.startswith("samples")] == []


def test_a_file_that_is_renamed_or_missing_is_named_with_the_whole_scenes(
    root: Path, tmp_path: Path
) -> None:
    path = first(root, tmp_path, "images")
    path.rename(path.with_name("other.jpg"))
    first(root, tmp_path, "scans").unlink()
    identity = identity_of(opened(root, tmp_path))
    words = (
        r"2 of the 12 files that are read of this split are not below .*, the first is "
        r"samples/LIDAR_TOP/.*; 1 of its 2 scenes are whole.*allow_partial=true"
    )
    with pytest.raises(UserError, match=words):
        identity.require("scans", "images")
    identity.require("point_labels")
    some = MINI.override({"allow_partial": True})
    assert some.fingerprint() != MINI.fingerprint()
    frames = some.open(root, tmp_path / "cache")
    assert len(frames) == 2 == len(opened(root, tmp_path)) - 2
    identity_of(frames).require(*PARTS)
    shutil.rmtree(root / "samples" / "CAM_BACK")
    with pytest.raises(
        UserError, match=r"None of the 2 scenes .*allow_partial=true leaves nothing"
    ):
        some.open(root, tmp_path / "cache")


def test_labels_that_come_later_change_nothing_without_them(root: Path, tmp_path: Path) -> None:
    """Unpacking nuScenes-lidarseg adds a table and replaces category.json."""
    labelled = identity_of(opened(root, tmp_path))
    folder = root / "v1.0-mini"
    (folder / "lidarseg.json").unlink()
    categories = json.loads((folder / "category.json").read_text())
    for row in categories:
        del row["index"]
    (folder / "category.json").write_text(json.dumps(categories))
    frames = opened(root, tmp_path)
    assert frames.frame(0).class_ids is None
    plain = identity_of(frames)
    assert plain.of("scans", "images") == labelled.of("scans", "images")
    assert plain.part("point_labels") == "" != labelled.part("point_labels")


def test_hashes_of_labels_are_kept_and_taken_again_when_they_change(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    reading = Store.read

    def counted(self: Store, name: str) -> bytes:
        if self.root == str(root):
            read.append(name)
        return reading(self, name)

    monkeypatch.setattr(Store, "read", counted)
    monkeypatch.setattr(contents, "SETTLED_S", 3600.0)  # so that all files are young
    for path in root.rglob("*"):
        os.utime(path)
    before = values(root, tmp_path)
    assert len(read) == 6, "four label files and two tables"
    del read[:]
    values(root, tmp_path)
    assert len(read) == 6, "files that may change again unseen are read again"
    for path in root.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    values(root, tmp_path)
    del read[:]
    assert values(root, tmp_path) == before
    assert read == []

    path = first(root, tmp_path, "point_labels")
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert changed(before, values(root, tmp_path)) == {"point_labels"}
    assert read == [path.relative_to(root).as_posix()]
    path.write_bytes(data)
    (kept,) = (tmp_path / "cache" / "hashes").glob("*.tsv")
    kept.write_text(kept.read_text().replace("a", "b"))
    assert values(root, tmp_path) == before, "a damaged list of hashes is not believed"


def test_a_sent_identity_has_what_was_read_and_reads_no_more(root: Path, tmp_path: Path) -> None:
    identity = identity_of(opened(root, tmp_path))
    wanted = identity.of("scans")
    sent = pickle.loads(pickle.dumps(identity))
    first(root, tmp_path, "scans").unlink()
    frames = opened(root, tmp_path)
    identity_of(frames).become(sent)
    assert identity_of(frames).of("scans") == wanted
    identity_of(frames).require("scans")  # the driver has looked
    assert identity_of(frames).files("scans") is None
    assert sent.files("images") is None
    again = pickle.loads(pickle.dumps(frames))
    assert identity_of(again).of("scans") == wanted


def test_what_changed_is_named_from_the_kept_lists(root: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    before = identity_of(opened(root, tmp_path))
    keep_file_lists(store, before, PARTS)
    scan = first(root, tmp_path, "scans")
    scan.write_bytes(bytes(40))
    images = opened(root, tmp_path).image_names()
    for name in images[:2]:
        (root / name).unlink()
    label = first(root, tmp_path, "point_labels")
    label.write_bytes(label.read_bytes()[::-1])
    now = identity_of(opened(root, tmp_path))

    def said(part: str) -> str:
        return differences(store, part, before.part(part), now)

    assert said("scans").startswith("1 scan has another size (samples/LIDAR_TOP/")
    assert said("scans").endswith(" bytes then and 40 now)")
    assert said("images").startswith("2 images are no longer there (the first is samples/CAM_")
    assert said("point_labels").startswith("1 file of point labels has other contents (lidarseg/")
    assert differences(store, "scans", "0" * 12, now) == "the scans differ"
    (path,) = (tmp_path / "out/data_files").glob("scans-*")
    path.write_bytes(path.read_bytes()[:30])
    assert said("scans") == "the scans differ"


def test_frames_that_name_no_files_are_known_by_fingerprint_and_images(tmp_path: Path) -> None:
    """A plug-in of 0.2 has no method for it."""
    bare = identity_of(InMemoryFrames())
    assert bare.of("scans") == identity_of(InMemoryFrames()).of("scans")
    bare.require(*PARTS)
    names = write_images(tmp_path, 3)
    before = identity_of(Folder().open(tmp_path, tmp_path))
    assert before.part("scans") == before.part("point_labels") == ""
    (tmp_path / names[0]).write_bytes(b"another")
    after = identity_of(Folder().open(tmp_path, tmp_path))
    assert (after.tables, after.part("images") == before.part("images")) == (before.tables, False)
    assert SplitIdentity("data").of() == "data"
