"""Checksums in files: their usual tools read them, and what differs is named, on disk and in S3."""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from olivine.core import checksums
from olivine.core.array_cache import ArrayCache
from olivine.core.checksums import (
    DamagedError,
    check_file,
    checked,
    read_cached,
    read_checked,
    with_checksum,
    write_checked,
)
from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.training.checkpoints import Checkpoints
from tests.support.servers.bucket_server import BUCKET, s3_server

TEXTS = ["{}", "{ }", '{"a": 1}', '{\n "xxh3_64": "no"\n}', "", "reason\n", "{'a': 1}", "xxh3_64 "]


def in_file(data: bytes, subject: str = "") -> bytes:
    return b"".join(with_checksum(data, subject))


def torch_file() -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.arange(3)}, stream)
    return stream.getvalue()


def npz_file() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.arange(3))
    return stream.getvalue()


def png_file() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.eye(3, dtype=np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def test_the_usual_tools_read_a_file_with_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(in_file(torch_file()))
    for mmap in (False, True):
        assert torch.load(path, weights_only=True, mmap=mmap)["a"].tolist() == [0, 1, 2]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"xxh3_64 ")
    with np.load(io.BytesIO(in_file(npz_file()))) as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]
    with Image.open(io.BytesIO(in_file(png_file()))) as image:
        image.verify()
    with Image.open(io.BytesIO(in_file(png_file()))) as image:
        np.testing.assert_array_equal(np.asarray(image), np.eye(3))
        assert len(image.info["xxh3_64"]) == 16
    text = in_file(b'{"a": 1}').decode()
    assert json.loads(text) == {"a": 1, "xxh3_64": json.loads(text)["xxh3_64"]}


@settings(deadline=None)
@given(text=st.sampled_from(TEXTS) | st.text(), subject=st.text(max_size=9))
def test_a_text_comes_back_as_it_was(text: str, subject: str) -> None:
    data = text.encode()
    assert checked(in_file(data, subject), "a.txt", subject) == data
    with pytest.raises(DamagedError, match=r"^a\.txt is damaged: its checksum is not"):
        checked(in_file(data, subject), "a.txt", f"{subject}!")


@pytest.mark.parametrize("make", [torch_file, npz_file, png_file])
def test_an_archive_and_a_picture_keep_their_checksum(make) -> None:
    data = in_file(make(), "token")
    assert checked(data, "a", "token") == data
    with pytest.raises(DamagedError):
        checked(data, "a", "another")


def test_the_error_crosses_processes_as_its_sentence() -> None:
    error = pickle.loads(pickle.dumps(DamagedError("a.pt is damaged.")))
    assert isinstance(error, UserError)
    assert str(error) == "a.pt is damaged."


def test_files_of_earlier_versions_are_read_with_one_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_noted", set())
    store = Store(tmp_path)
    for name in ("a.json", "b.json"):
        store.write(name, b'{"a": 1}')
        assert read_checked(store, name) == b'{"a": 1}'
    (said,) = [record.getMessage() for record in caplog.records]
    assert "a.json has no checksum" in said
    assert "damage cannot be seen" in said


def test_weights_of_another_program_need_no_checksum(tmp_path: Path, caplog) -> None:
    path = tmp_path / "net.pth"
    for content in (b"", b"text", torch_file(), in_file(torch_file())):
        path.write_bytes(content)
        check_file(path)
    path.write_bytes(b"x" + in_file(torch_file())[1:])
    with pytest.raises(DamagedError, match=r"net\.pth is damaged"):
        check_file(path)
    assert not caplog.records


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server():
        yield f"s3://{BUCKET}/runs"


@pytest.fixture(params=["disk", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store(tmp_path)
    return Store(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def damage(store: Store, name: str) -> bytes:
    data = bytearray(store.read(name))
    data[len(data) // 2] ^= 4
    store.write(name, data)
    return bytes(data)


def test_a_damaged_file_of_a_cache_is_set_aside_and_made_again(store: Store) -> None:
    cache = ArrayCache(store, "kept")
    arrays = {"ids": np.arange(50)}

    def of() -> list[int]:
        return cache.of("token", {"ids": 50}, lambda: arrays, "a scan")["ids"].tolist()

    of()
    content = damage(store, "kept/token.npz")
    with pytest.warns(UserWarning, match=r"token\.npz is damaged.*token\.npz\.damaged now.*again"):
        assert of() == list(range(50))
    assert of() == list(range(50))
    assert store.read("kept/token.npz.damaged") == content
    assert read_cached(store, "kept/missing.npz", bytes) is None


def test_a_damaged_checkpoint_falls_back_to_the_one_before(store: Store) -> None:
    checkpoints = Checkpoints(store, "run")
    for step in (1, 2):
        checkpoints.save(step, {"step": step, "weight": torch.zeros(9)})
    damage(store, "run/step_00000002.pt")
    with pytest.warns(UserWarning, match=r"step_00000002\.pt.*The checkpoint before it is used"):
        assert checkpoints.latest()["step"] == 1
    assert checkpoints.steps() == [1]
    damage(store, "run/step_00000001.pt")
    with pytest.warns(UserWarning, match=r"a training begins from its start"):
        assert checkpoints.latest() is None
    assert {name for name in store.names("run") if name.endswith(".damaged")} == {
        "run/step_00000001.pt.damaged",
        "run/step_00000002.pt.damaged",
    }


def test_what_cannot_be_renamed_stays_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    write_checked(store, "a.json", b'{"a": 1}')
    damage(store, "a.json")

    def refuse(*_: str) -> None:
        raise UserError("Cannot rename a.json: Read-only file system.")

    monkeypatch.setattr(Store, "rename", refuse)
    with pytest.warns(UserWarning, match=r"a\.json is damaged.*It stays there: Cannot rename"):
        assert read_cached(store, "a.json", json.loads) is None
