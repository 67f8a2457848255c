"""A file as a module: one name for one class, copies that no edit reaches, other processes."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.plugins.code_cache import VARIABLE, store_tree
from olivine.core.plugins.file_modules import file_of_module, load_file
from olivine.core.plugins.source_tree import read_tree
from tests.support.plugins import write_loss


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def test_every_form_of_import_finds_the_file_beside(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", __init__="from .leaf import LEAF", leaf="LEAF = 'leaf'")
    write(tmp_path, helper="X = 'helper'\ndef f(): return X")
    lines = [
        "import helper",
        "import helper as renamed",
        "from helper import X, f as g",
        "from .helper import X as dotted",
        "from . import helper as sibling",
        "import inner.leaf",
        "import inner.leaf as leaf",
        "from inner import LEAF",
        "import os.path",
        "def late():",
        "    import helper as inside",
        "    return inside.X",
    ]
    write(tmp_path, part="\n".join(lines))
    part = load_file(tmp_path / "part.py")
    values = [part.helper.X, part.renamed.X, part.X, part.g(), part.dotted, part.sibling.X]
    assert values == ["helper"] * 6
    assert part.late() == "helper"
    assert [part.inner.leaf.LEAF, part.leaf.LEAF, part.LEAF] == ["leaf"] * 3
    assert part.os.path.join("a", "b") == "a/b"


def test_a_folder_without_an_init_file_is_imported_from_the_copy(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    write(tmp_path / "sub", helper="from .deep.leaf import X", other="Y = 'other'")
    write(tmp_path / "sub" / "deep", leaf="from sub.other import Y\nX = 'leaf'\nclass C: ...")
    lines = ["from sub.helper import X", "import sub.deep.leaf", "from sub import other"]
    write(tmp_path, part="\n".join([*lines, "from .sub import helper"]))
    part = load_file(tmp_path / "part.py")
    assert (part.X, part.sub.deep.leaf.Y, part.other.Y, part.helper.X) == (
        "leaf", "other", "other", "leaf",
    )  # fmt: skip
    named = file_of_module(part.sub.deep.leaf.C.__module__)
    assert named is not None
    assert named[1] == "sub/deep/leaf.py"
    assert "sub" not in sys.modules
    write(tmp_path / "sub", other="Y = 'edited'")
    again = load_file(tmp_path / "part.py")
    assert (part.other.Y, again.other.Y) == ("other", "edited")


def test_the_file_beside_is_meant_even_where_another_of_its_name_could_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other, helper="X = 'the other'")
    monkeypatch.syspath_prepend(other)
    write(tmp_path, part="from helper import X", helper="X = 'beside'")
    assert load_file(tmp_path / "part.py").X == "beside"
    assert "helper" not in sys.modules


def test_an_edit_gives_another_module_and_leaves_the_first_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, part="from helper import X", helper="X = 1")
    first = load_file(tmp_path / "part.py")
    assert load_file(tmp_path / "part.py") is first
    write(tmp_path, helper="X = 2")
    second = load_file(tmp_path / "part.py")
    assert (first.X, second.X) == (1, 2)
    assert first.__name__ != second.__name__


def test_a_class_has_one_name_whichever_file_led_to_it(tmp_path: Path) -> None:
    write(tmp_path, recipe="from part import C\nSEED = 1", part="import helper\nclass C: ...")
    write(tmp_path, helper="")
    found = load_file(tmp_path / "recipe.py").C
    assert load_file(tmp_path / "part.py").C is found
    write(tmp_path, recipe="from part import C\nSEED = 2")
    assert load_file(tmp_path / "recipe.py").C is found, "an edit of the recipe is none of the part"


def test_a_module_knows_its_hash_and_its_file(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", __init__="", leaf="class D: ...")
    write(tmp_path, part="from inner.leaf import D\nimport inner\nclass C: ...")
    part = load_file(tmp_path / "part.py")
    assert file_of_module(part.__name__) == (read_tree(tmp_path / "part.py").hash, "part.py")
    inner = file_of_module(part.D.__module__)
    assert inner is not None
    assert inner[1] == "inner/leaf.py"
    package = file_of_module(part.inner.__name__)
    assert package is not None
    assert package[1] == "inner/__init__.py"
    assert file_of_module("olivine.core.spec") is None


def test_files_that_import_each_other_load(tmp_path: Path) -> None:
    write(tmp_path, one="import two\nX = 1", two="import one\ndef x(): return one.X")
    assert load_file(tmp_path / "one.py").two.x() == 1


def test_another_process_reads_what_was_pickled_when_the_file_is_gone(
    tmp_path: Path, kept: Path
) -> None:
    folder = tmp_path / "theirs"
    loss = load_file(write_loss(folder)).MyLoss(power=3.0)
    shutil.rmtree(folder)
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).power)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(loss), capture_output=True, check=True, cwd=tmp_path,
        env={"PATH": "", VARIABLE: str(kept)},
    )  # fmt: skip
    assert answer.stdout.decode().strip() == "3.0"


def test_another_process_has_the_folder_without_an_init_file_too(
    tmp_path: Path, kept: Path
) -> None:
    folder = tmp_path / "theirs"
    (folder / "sub").mkdir(parents=True)
    write(folder / "sub", helper="X = 'helper'")
    write(folder, part="from sub.helper import X\nimport sub.helper\nclass C:\n    x = X")
    made = pickle.dumps(load_file(folder / "part.py").C())
    shutil.rmtree(folder)
    (tmp_path / "sub").mkdir()  # another one, where the process works
    write(tmp_path / "sub", helper="X = 'other'")
    code = "import olivine.core.parts, pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).x)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        input=made, capture_output=True, check=True, cwd=tmp_path,
        env={"PATH": "", VARIABLE: str(kept)},
    )  # fmt: skip
    assert answer.stdout.decode().strip() == "helper"


def test_a_copy_that_was_edited_is_written_again(tmp_path: Path, kept: Path) -> None:
    write(tmp_path, part="X = 1")
    tree = read_tree(tmp_path / "part.py")
    (kept / tree.hash).mkdir(parents=True)
    (kept / tree.hash / "part.py").write_text("X = 'edited'")
    assert load_file(tmp_path / "part.py").X == 1
    assert (kept / tree.hash / "part.py").read_text() == "X = 1"


def test_a_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, part="X = 1", file="")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file.py" / "folder"))
    with pytest.raises(UserError, match=f"Cannot keep a copy of part.py in .*Set {VARIABLE}"):
        store_tree(read_tree(tmp_path / "part.py"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise OSError('no such device')", "part.py cannot be run: OSError: no such device."),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_"),
        ("from helper import nothing", "ImportError: cannot import name 'nothing'"),
        ("from .helpr import nothing", "ModuleNotFoundError: No module named .*helpr"),
        ("import sys; sys.exit(3)", "SystemExit: 3."),
        ("assert False", "AssertionError."),
        ("raise BaseException('no licence')", "part.py cannot be run: BaseException: no licence."),
    ],
)
def test_a_file_that_cannot_be_run_is_one_sentence_with_its_reason(
    text: str, sentence: str, tmp_path: Path
) -> None:
    write(tmp_path, part=text, helper="")
    with pytest.raises(UserError, match=sentence) as caught:
        load_file(tmp_path / "part.py")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "part.py") in str(caught.value)


def test_an_interrupt_while_a_file_is_imported_stays_one(tmp_path: Path) -> None:
    write(tmp_path, part="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_file(tmp_path / "part.py")
