from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.storage import Store


@pytest.fixture(params=["path", "uri"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path if request.param == "path" else f"file://{tmp_path}")


def test_what_is_written_is_listed_and_read_back(store: Store) -> None:
    store.write("a/b.txt", b"one")
    store.write("a/c/d.txt", b"two")
    store.write("a/b.txt", b"three")

    assert store.names("a") == {"a/b.txt", "a/c/d.txt"}
    assert store.names("nothing") == set()
    assert store.read("a/b.txt") == b"three"
    assert store.exists("a/b.txt")
    assert not store.exists("a")
    store.delete("a/b.txt")
    store.delete("a/b.txt")
    assert not store.exists("a/b.txt")


def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_beside_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a.txt", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"Cannot write .*No space left"):
        store.write("a.txt", b"new")

    assert store.read("a.txt") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_half_written_file_of_a_killed_process_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.0123abcd").write_bytes(b"hal")

    assert Store(tmp_path).names() == set()


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*nothing\.txt"):
        Store(tmp_path).read("nothing.txt")
    with pytest.raises(UserError, match="Cannot open"):
        Store("no-such-scheme://bucket")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        Store(tmp_path / "file").write("a.txt", b"")
