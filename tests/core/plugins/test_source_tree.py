"""Which files belong to a file, and that their hash changes with each of them and with no other."""

from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.plugins.source_tree import SourceTree, read_folder, read_tree


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "line",
    [
        "import helper",
        "import helper as h",
        "from helper import x",
        "from helper import *",
        "from .helper import x",
        "from . import helper",
        "import os, helper",
        "def late():\n    import helper",
        "try:\n    from helper import x\nexcept ImportError:\n    x = 1",
    ],
)
def test_what_is_imported_from_the_folder_belongs_to_the_file(line: str, tmp_path: Path) -> None:
    write(tmp_path, part=line, helper="import deeper", deeper="x = 1", stranger="x = 1")
    tree = read_tree(tmp_path / "part.py")
    assert set(tree.files) == {"part.py", "helper.py", "deeper.py"}


def test_what_is_imported_from_elsewhere_does_not(tmp_path: Path) -> None:
    lines = "import torch, json\nfrom olivine.core import spec\nfrom pathlib import Path"
    write(tmp_path, part=lines, json="x = 1", olivine="x = 1")
    assert set(read_tree(tmp_path / "part.py").files) == {"part.py"}


def test_a_package_beside_belongs_as_a_whole_with_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()  # a folder without Python files is none
    write(
        tmp_path,
        part="from helpers.one import x\nimport data",
        helpers__in____init__="",
        helpers__in__one="from .two import x",
        helpers__in__two="import deeper",
        deeper="",
    )
    assert set(read_tree(tmp_path / "part.py").files) == {
        "part.py", "helpers/__init__.py", "helpers/one.py", "helpers/two.py", "deeper.py",
    }  # fmt: skip


def test_files_that_import_each_other_have_one_tree(tmp_path: Path) -> None:
    write(tmp_path, one="import two", two="import one")
    assert read_tree(tmp_path / "one.py").hash == read_tree(tmp_path / "two.py").hash


def test_the_hash_changes_with_every_file_that_belongs_and_with_no_other(tmp_path: Path) -> None:
    write(tmp_path, part="import helper", helper="x = 1", stranger="x = 1")
    before = read_tree(tmp_path / "part.py").hash
    write(tmp_path, stranger="x = 2")
    assert read_tree(tmp_path / "part.py").hash == before
    seen = {before}
    for name in ("part", "helper"):
        path = tmp_path / f"{name}.py"
        path.write_text(path.read_text() + "# more\n")
        seen.add(read_tree(tmp_path / "part.py").hash)
    assert len(seen) == 3


def test_the_hash_tells_where_one_file_ends_and_the_next_begins() -> None:
    trees = [{"a.py": b"xy"}, {"a.py": b"x", "y": b""}, {"a.pyx": b"y"}, {"a.py": b"x", "": b"y"}]
    assert len({SourceTree(files).hash for files in trees}) == len(trees)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("part.py", "from ..above import x", r"imports from above its folder \(\.\.\)"),
        ("part.py", "def broken(:", "part.py is not Python: .*line 1"),
        ("my part.py", "", "call the file by letters, digits"),
        ("part.py", None, "There is no file .*part.py"),
    ],
)
def test_a_file_that_cannot_be_sent_is_one_sentence(
    name: str, text: str | None, sentence: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_tree(tmp_path / name)


def test_a_file_of_a_package_that_imports_it_by_name_is_told_to_name_the_package(
    tmp_path: Path,
) -> None:
    write(tmp_path / "lab", __init__="", losses="from lab.helper import x", helper="x = 1")
    with pytest.raises(UserError, match=r"belongs to the package 'lab'.*package\.module:Name"):
        read_tree(tmp_path / "lab" / "losses.py")


def test_a_linked_folder_counts_as_if_it_lay_there_and_a_circle_of_links_ends(
    tmp_path: Path,
) -> None:
    write(tmp_path / "package", __init__="", one="x = 1")
    write(tmp_path / "other", __init__="", helper="x = 1")
    (tmp_path / "package" / "linked").symlink_to("../other")
    (tmp_path / "other" / "back").symlink_to("../package")
    before = read_folder(tmp_path / "package")
    assert set(before.files) == {
        "__init__.py", "one.py", "linked/__init__.py", "linked/helper.py",
    }  # fmt: skip
    write(tmp_path / "other", helper="x = 2")
    assert read_folder(tmp_path / "package").hash != before.hash


@pytest.mark.parametrize("line", ["from sub.helper import x", "import sub.deep.leaf", "import sub"])
def test_a_folder_beside_without_an_init_file_belongs_too(line: str, tmp_path: Path) -> None:
    write(tmp_path, part=line)
    write(tmp_path / "sub", helper="import deeper", deep__in__leaf="x = 1")
    write(tmp_path, deeper="x = 1", stranger="x = 1")
    assert set(read_tree(tmp_path / "part.py").files) == {
        "part.py", "sub/helper.py", "sub/deep/leaf.py", "deeper.py",
    }  # fmt: skip


def test_a_folder_without_an_init_file_yields_to_an_installed_package_of_its_name(
    tmp_path: Path,
) -> None:
    write(tmp_path, part="import numpy", relative="from .numpy import other")
    write(tmp_path / "numpy", other="x = 1")
    assert set(read_tree(tmp_path / "part.py").files) == {"part.py"}
    assert set(read_tree(tmp_path / "relative.py").files) == {"relative.py", "numpy/other.py"}


def test_a_file_that_imports_by_the_name_of_its_own_folder_is_told_to_name_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "their_lab", losses="from their_lab.helper import x", helper="x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match=r"belongs to the package 'their_lab'.*package\.module:Name"
    ):
        read_tree(tmp_path / "their_lab" / "losses.py")
