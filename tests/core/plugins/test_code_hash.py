"""Edited code has another hash, from wherever Python imports it; unreadable code has none."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.plugins.code_hash import code_hash
from tests.support.plugins import forget


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder from which Python imports `space`, `linked` and `flat`."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget("space", "linked", "flat", "packed")


def hash_of(module: str) -> str:
    forget(module.partition(".")[0])
    return code_hash([module])


@pytest.mark.parametrize(
    "line",
    [
        "from space.helper import X",
        "import space.helper",
        "from .helper import X",
        "from space.inner.helper import X",
        "from .inner import helper",
        "from common import X",
        "from space import via",
        "from shared.helper import X",
    ],
)
def test_what_a_module_of_a_folder_without_an_init_file_imports_from_there_counts(
    line: str, path: Path
) -> None:
    write(path / "space", mine=line, helper="X = 1", via="import common")
    write(path / "space" / "inner", helper="X = 1")
    write(path / "shared", helper="X = 1")
    write(path, common="X = 1", stranger="X = 1")
    before = hash_of("space.mine")
    write(path, stranger="X = 2")
    assert hash_of("space.mine") == before
    for place in ("space", "space/inner", "shared"):
        write(path / place, helper="X = 2")
    write(path, common="X = 2")
    assert hash_of("space.mine") != before


def test_what_a_module_imports_from_a_folder_beside_it_counts(path: Path) -> None:
    write(path, flat="from sub.helper import X")
    write(path / "sub", helper="X = 1")
    before = hash_of("flat")
    write(path / "sub", helper="X = 2")
    assert hash_of("flat") != before


def test_a_linked_package_within_a_package_counts(path: Path) -> None:
    write(path / "linked", __init__="", mine="from linked.other.helper import X")
    write(path / "elsewhere", __init__="", helper="X = 1")
    (path / "linked" / "other").symlink_to("../elsewhere")
    before = hash_of("linked.mine")
    write(path / "elsewhere", helper="X = 2")
    assert hash_of("linked.mine") != before


@pytest.mark.parametrize("module", ["packed.mine", "packed"])
def test_code_in_an_archive_is_one_sentence(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        if module == "packed":
            archive.writestr("packed.py", "X = 1")
        else:
            archive.writestr("packed/__init__.py", "")
            archive.writestr("packed/mine.py", "X = 1")
    monkeypatch.syspath_prepend(tmp_path / "p.zip")
    with pytest.raises(UserError, match=r"of packed cannot be read from .*p\.zip.*: unpack it"):
        hash_of(module)


def test_a_package_of_compiled_files_alone_is_one_sentence(path: Path) -> None:
    import py_compile

    write(path / "packed", __init__="X = 1")
    source = path / "packed" / "__init__.py"
    py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
    source.unlink()
    with pytest.raises(UserError, match=r"of packed cannot be read from .*__init__\.pyc"):
        hash_of("packed")
    assert "packed" not in sys.modules
