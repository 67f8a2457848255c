"""A part that cannot be had is one sentence: what was given, what there is, what to do."""

from pathlib import Path
from typing import Any

import pytest

from olivine.core.errors import UserError
from olivine.core.parts import kinds, part_class
from olivine.experiments.recipes import demo
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from tests.support.plugins import forget, install, write_loss
from tests.support.their_losses import BODY, OFFERED, loss_of, sentence_of, with_loss


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("their_los", ["No 'their_los' in losses. Did you mean 'their_loss'?", "info_nce"]),
        ("Their_Loss", ["Did you mean 'their_loss'?"]),
        ("their.losses:Name", ["has no Name.", "Did you mean 'Named'?"]),
        ("their.losses:Incomplete", ["is not complete: it lacks build"]),
        ("their.losses:BODY", ["has no BODY"]),
        ("their.other:X", ["is of type int, and one of losses is a subclass of"]),
        (
            "their.nowhere:X",
            ["cannot be imported: ModuleNotFoundError: No module named 'their.now"],
        ),
        ("nowhere:X", ["cannot be imported: ModuleNotFoundError: No module named 'nowhere'."]),
        ("pathlib:Path", ["'pathlib:Path' is the class Path, and one of losses is a subclass"]),
        ("olivine.models.backbones.minkunet:MinkUNet", ["one of backbones", "losses is needed"]),
        ("./my_loss.py", ["names a file: name its class too, as ./my_loss.py:MyClass"]),
        ("./my_loss.py:MyLoss", ["names the file", "which is not there", "where the command runs"]),
        ("my_loss.py:MyLoss@0123456789ab", ["The code of", "is not on this machine"]),
        ("~nobody_here/x.py:M", ["begins with the home folder of a user who is unknown here"]),
        ("./" + "x" * 5000 + ".py:M", ["names the file ./xxx", "which is not there"]),
        ("./" + "x/" * 2500 + "x.py:M", ["which is not there"]),
        ("x" * 300 + ".py:M@0123456789ab", ["The code of", "is not on this machine"]),
        ("3", ["No '3' in losses"]),
        ([1], ["The kind [1] is read as list, and the kind of one of losses is a text"]),
        (3, ["The kind 3 is read as int"]),
        (None, ["loss.kind' is empty: it takes the name of a kind"]),
        ({"a": 1}, ["The kind 'a: 1' is read as dict", "./file.py:Class"]),
        ({"./many.py": None}, ["The kind './many.py:' is read as dict", "in quotes"]),
    ],
)
def test_a_kind_that_cannot_be_had_is_one_sentence(
    kind: Any, parts: list[str], their: Path
) -> None:
    sentence = sentence_of(kind)
    for part in parts:
        assert part in sentence


def test_a_file_without_the_class_offers_the_nearest(tmp_path: Path) -> None:
    path = write_loss(tmp_path / "mine")
    assert "my_loss.py has no MyLos. Did you mean 'MyLoss'?" in sentence_of(f"{path}:MyLos")


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        (
            "import nothing_of_this_name",
            "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("raise RuntimeError('no licence\\nfound')", "RuntimeError: no licence found"),
        ("raise BaseException('no licence')", "BaseException: no licence"),
        ("x = 1", "AttributeError: module 'their.losses' has no attribute 'Named'"),
    ],
)
def test_a_plugin_that_fails_to_import_is_named_with_its_reason(
    losses: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "their", {"__init__.py": "", "losses.py": losses}, OFFERED)
    sentence = sentence_of("their_loss")
    assert f"(their.losses:Named of their 1.0) cannot be imported: {reason}." in sentence
    assert demo().fingerprint(), "what does not ask for it works"
    assert "their_loss" in kinds(Loss), "a list imports nothing"


def test_an_entry_point_of_another_family_or_name_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = BODY + "\nfrom olivine.models.backbones.minkunet import MinkUNet as Net\n"
    offered = {"olivine.losses": {"net": "their.losses:Net", "b": "their.losses:Named"}}
    install(tmp_path, monkeypatch, "their", {"__init__.py": "", "losses.py": text}, offered)
    assert "is one of backbones, and one of losses is needed" in sentence_of("net")
    sentence = sentence_of("b")
    assert "The entry point 'b' of olivine.losses gives their.losses:Named" in sentence
    assert "has the kind 'their.losses:Named': give both one name" in sentence


@pytest.mark.parametrize("line", ["a line without a sign", "[olivine.losses]\nmine"])
def test_a_list_of_entry_points_that_cannot_be_read_names_its_package(
    line: str, their: Path
) -> None:
    about = their.parent / "their-1.0.dist-info" / "entry_points.txt"
    about.write_text(f"{about.read_text()}\n{line}\n")
    forget("their")
    wanted = "The entry points of the package their cannot be read: each line"
    with pytest.raises(UserError, match=wanted):
        kinds(Loss)
    assert wanted in sentence_of("their_loss")


@pytest.mark.parametrize("value", [":::", "their losses", "their.losses:"])
def test_an_entry_point_that_names_no_object_is_one_sentence(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"__init__.py": "", "losses.py": BODY}
    install(tmp_path, monkeypatch, "their", files, {"olivine.losses": {"mine": value}})
    assert f"'mine' of their 1.0 cannot be imported: its entry point names {value!r}, which" in (
        sentence_of("mine")
    )


def test_two_packages_that_offer_one_name_are_one_sentence(
    their: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {"olivine.losses": {"their_loss": "other.losses:Named"}}
    files = {"__init__.py": "", "losses.py": BODY}
    install(tmp_path, monkeypatch, "other", files, offered)
    wanted = (
        r"Two installed packages offer one of losses called 'their_loss', .*other 1.0.*their 1.0"
    )
    with pytest.raises(UserError, match=wanted):
        with_loss("their_loss")
    with pytest.raises(UserError, match=wanted):
        kinds(Loss)
    assert with_loss("alias"), "another name is not concerned"
    for package in ("their", "other"):
        kind = f"{package}.losses:Named"  # as the sentence tells
        assert loss_of(with_loss(kind)).kind == kind


def test_a_package_cannot_take_a_name_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {"olivine.losses": {"info_nce": "their.losses:Nameless"}}
    install(tmp_path, monkeypatch, "their", {"__init__.py": "", "losses.py": BODY}, offered)
    with pytest.raises(
        UserError, match=r"their.losses:Nameless of their 1.0 is offered as .*'info"
    ):
        kinds(Loss)
    assert type(loss_of(with_loss("info_nce"))) is InfoNCE
    assert loss_of(with_loss("their.losses:Nameless")).kind == "their.losses:Nameless"


def test_an_empty_kind_of_a_file_of_settings_is_one_sentence() -> None:
    with pytest.raises(UserError, match="The kind of one of losses is empty: it takes a name"):
        part_class(Loss, None)
