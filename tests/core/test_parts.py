"""Parts of somebody else: found by entry point, module or file, read back, told by their code."""

import json
import shutil
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.parts import kinds, members, part_class, part_code, parts_of
from olivine.core.plugins.code_cache import VARIABLE
from olivine.core.spec import parse_settings
from olivine.experiments.recipes import demo
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from olivine.models.backbones.base import Backbone
from olivine.models.backbones.minkunet import MinkUNet
from olivine.training.config import EvaluateConfig
from tests.support.plugins import forget, install, write_loss
from tests.support.their_losses import BODY, PLACE, loss_of, sentence_of, with_loss


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("their_loss", "their_loss"),
        ("their.losses:Named", "their_loss"),
        ("alias", "alias"),
        ("their.losses:Nameless", "alias"),
        ("their.losses:Unlisted", "their.losses:Unlisted"),
        ("olivine.methods.losses.info_nce:InfoNCE", "info_nce"),
    ],
)
def test_an_installed_part_is_found_and_written_so_that_it_is_found_again(
    given: str, written: str, their: Path
) -> None:
    config = with_loss(given)
    loss = loss_of(config)
    assert loss.kind == config.to_dict()["pretrained"]["method"]["terms"]["pixel"]["loss"]["kind"]
    assert loss.kind == written
    again = EvaluateConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert type(loss_of(again)) is type(loss)
    assert again.fingerprint() == config.fingerprint()
    assert config.override(config.flatten()) == config


def test_a_file_is_written_by_its_hash_and_read_when_it_is_edited_or_gone(tmp_path: Path) -> None:
    path = write_loss(tmp_path / "mine")
    config = with_loss(f"{path}:MyLoss").override({f"{PLACE}.power": 3.0})
    kind = loss_of(config).kind
    assert kind == f"my_loss.py:MyLoss@{part_code(type(loss_of(config)))}"
    write_loss(tmp_path / "mine", scale=100.0)
    edited = with_loss(f"{path}:MyLoss").override({f"{PLACE}.power": 3.0})
    shutil.rmtree(tmp_path / "mine")
    again = EvaluateConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.fingerprint() == config.fingerprint() != edited.fingerprint()
    words = [f"{name}={text}" for name, text in config.setting_texts().items() if PLACE in name]
    assert demo().override(parse_settings(words)) == config


def test_paths_are_of_the_working_folder_and_of_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_loss(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    by = [
        f"{tmp_path}/mine/my_loss.py",
        "mine/my_loss.py",
        "./mine/my_loss.py",
        "~/mine/my_loss.py",
    ]
    assert len({part_class(Loss, f"{path}:MyLoss") for path in by}) == 1


def test_a_kept_part_is_also_taken_from_the_same_file_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = part_class(Loss, f"{write_loss(tmp_path / 'mine')}:MyLoss").kind
    monkeypatch.setenv(VARIABLE, str(tmp_path / "another machine"))
    monkeypatch.chdir(tmp_path / "mine")
    assert part_class(Loss, kind).kind == kind
    monkeypatch.setenv(VARIABLE, str(tmp_path / "a third machine"))
    write_loss(tmp_path / "mine", scale=2.0)
    with pytest.raises(UserError, match=r"is not on this machine, and .*my_loss.py is another ver"):
        part_class(Loss, kind)


def test_code_decides_a_fingerprint_and_only_that_of_its_part(their: Path) -> None:
    def fingerprints() -> tuple[str, str]:
        forget("their")
        return with_loss("their_loss").fingerprint(), demo().fingerprint()

    theirs, ours = fingerprints()
    (their / "losses.py").write_text(BODY.replace("    pass", "    x: int = 1"))
    edited, ours_again = fingerprints()
    (their / "other.py").write_text("X = 2\n")  # any file of the package may decide
    again, _ = fingerprints()
    assert len({theirs, edited, again}) == 3
    assert ours == ours_again
    assert (
        demo().fingerprint()
        == with_loss("their_loss").override({f"{PLACE}.kind": "info_nce"}).fingerprint()
    )


class Wider(MinkUNet):
    """A network with a kind of its own, though it names none."""


class Renamed(InfoNCE):
    """It calls itself as a part of ours is called."""

    kind = "info_nce"


def test_a_class_that_names_no_kind_does_not_pass_for_its_base() -> None:
    assert Wider.kind == Wider().to_dict()["kind"] == "tests.core.test_parts:Wider"
    assert type(Backbone.from_dict(Wider(stem_channels=8).to_dict())) is Wider
    assert Wider().fingerprint() != MinkUNet().fingerprint()
    assert MinkUNet.kind == "minkunet"


def test_a_class_that_calls_itself_as_one_of_ours_is_still_told_from_it() -> None:
    assert Renamed().to_dict()["kind"] == "tests.core.test_parts:Renamed"
    assert part_class(Loss, Renamed.kind) is Renamed


def test_the_base_of_a_part_counts_as_its_code(tmp_path: Path, their: Path) -> None:
    path = tmp_path / "derived.py"
    path.write_text("from their.losses import Named\n\n\nclass Derived(Named):\n    pass\n")
    before = part_class(Loss, f"{path}:Derived")
    code = part_code(before)
    (their / "other.py").write_text("X = 3\n")
    forget("their")
    after = part_class(Loss, f"{path}:Derived")
    assert after.kind == before.kind, "its own file is as it was"
    assert part_code(after) != code


MIXED = """
import abc
from {mix} import Mix
from olivine.methods.losses.info_nce import InfoNCE


class Mixed(Mix, InfoNCE, abc.ABC):
    pass
"""


def test_a_base_of_another_package_that_is_no_part_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("their", "other"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "their" / "losses.py").write_text(MIXED.format(mix="other.mix"))
    monkeypatch.syspath_prepend(tmp_path)
    codes = set()
    for scale in (1, 2):
        (tmp_path / "other" / "mix.py").write_text(f"class Mix:\n    SCALE = {scale}\n")
        forget("their", "other")
        codes.add(part_code(part_class(Loss, "their.losses:Mixed")))
    assert len(codes) == 2


@pytest.mark.parametrize(("offers_parts", "num_codes"), [(False, 1), (True, 2)])
def test_an_installed_base_that_is_no_part_counts_if_its_package_offers_parts(
    offers_parts: bool, num_codes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {"olivine.losses": {"a_loss": "other.mix:Mix"}} if offers_parts else {}
    files = {"__init__.py": "", "mix.py": ""}
    install(tmp_path / "site-packages", monkeypatch, "other", files, offered)
    path = tmp_path / "mixed.py"
    path.write_text(MIXED.format(mix="other.mix"))
    codes = set()
    for scale in (1, 2):
        place = tmp_path / "site-packages" / "other" / "other" / "mix.py"
        place.write_text(f"class Mix:\n    SCALE = {scale}\n")
        forget("other")
        codes.add(part_code(part_class(Loss, f"{path}:Mixed")))
    assert len(codes) == num_codes


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("from my_loss import MyLoss", "'{folder}/my_loss.py:MyLoss'"),
        ("from their.losses import Unlisted as MyLoss", "'their.losses:Unlisted'"),
        ("from olivine.methods.losses.info_nce import InfoNCE as MyLoss", "'info_nce'"),
    ],
)
def test_a_class_is_named_where_it_is_defined(
    line: str, where: str, tmp_path: Path, their: Path
) -> None:
    folder = write_loss(tmp_path / "mine").parent
    (folder / "b.py").write_text(f"import helper\n{line}\nhelper.SCALE = 100\n")
    sentence = sentence_of(f"{folder}/b.py:MyLoss")
    assert f"where it is defined, {where.format(folder=folder)}" in sentence


def test_a_class_of_another_module_is_named_where_it_is_defined(
    tmp_path: Path, their: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.py").write_text("from their.losses import Unlisted\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "where it is defined, 'their.losses:Unlisted'" in sentence_of("other:Unlisted")
    (their / "__init__.py").write_text("from their.losses import Unlisted\n")
    forget("their")
    assert loss_of(with_loss("their:Unlisted")).kind == "their.losses:Unlisted", "one package"


def test_code_versions_count_for_parts_of_others_too(tmp_path: Path) -> None:
    path = tmp_path / "v.py"
    text = "from olivine.methods.losses.info_nce import InfoNCE\nclass V(InfoNCE):\n    {}\n"
    path.write_text(text.format("code_version = 2"))
    assert part_class(Loss, f"{path}:V")().fingerprint_fields()["code_version"] == 2


def test_what_is_offered_is_listed_beside_ours(their: Path) -> None:
    assert set(kinds(Loss)) == {*Loss.built_in, "their_loss", "alias"}
    (their_loss,) = (member for member in members(InfoNCE) if member.kind == "their_loss")
    assert (their_loss.target, their_loss.package) == ("their.losses:Named", "their 1.0")


def test_a_part_that_no_other_process_could_find_is_not_written() -> None:
    class Local(InfoNCE):
        pass

    for write in (Local().to_dict, Local().fingerprint):
        with pytest.raises(UserError, match=r"Local is defined where no other process can find it"):
            write()


def test_every_part_within_settings_is_found() -> None:
    config = demo()
    found = {(part.family, part.kind) for part in parts_of([config, {"more": InfoNCE()}])}
    assert found >= {
        ("losses", "vmf"), ("backbones", "minkunet"), ("augmentations", "crop_images"),
        ("datasets", "nuscenes"), ("optimisers", "sgd"), ("losses", "info_nce"),
    }  # fmt: skip


def test_a_class_may_be_offered_by_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {"olivine.losses": dict.fromkeys(("m1", "m2"), "their.losses:Nameless")}
    install(tmp_path, monkeypatch, "their", {"__init__.py": "", "losses.py": BODY}, offered)
    assert {loss_of(with_loss(name)).kind for name in ("m1", "m2")} == {"m1"}
    assert with_loss("m1").fingerprint() == with_loss("m2").fingerprint()
