from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.grounded_sam.vocabulary import Vocabulary


def vocabulary(text: str, tmp_path: Path) -> Vocabulary:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return GroundedSam.from_dict({"vocabulary": str(path)}).vocabulary


@pytest.mark.parametrize(("name", "num_prompts"), [("prompts13", 13), ("prompts16", 16)])
def test_the_authors_vocabularies_name_each_class_once(name: str, num_prompts: int) -> None:
    ours = GroundedSam.from_dict({"vocabulary": name}).vocabulary

    assert len(ours.texts) == len(ours.class_names) == num_prompts
    assert set(ours.class_names) <= set(CLASS_NAMES)
    assert ours.class_of_prompt == tuple(range(num_prompts))


def test_sixteen_prompts_name_all_classes() -> None:
    ours = GroundedSam.from_dict({"vocabulary": "prompts16"}).vocabulary

    assert set(ours.class_names) == set(CLASS_NAMES)
    meaning = dict(zip(ours.texts, ours.class_names, strict=True))
    assert meaning["road"] == "driveable_surface"
    assert meaning["building"] == "manmade"
    assert meaning["other ground"] == "other_flat"


def test_several_prompts_may_mean_one_class(tmp_path: Path) -> None:
    ours = vocabulary(
        "prompts:\n - {prompt: man, means: pedestrian}\n - {prompt: road, means: driveable_surface}"
        "\n - {prompt: Woman , means: pedestrian}",
        tmp_path,
    )

    assert ours.texts == ("man", "road", "woman")
    assert ours.class_names == ("pedestrian", "driveable_surface")
    assert ours.class_of_prompt == (0, 1, 0)


def test_a_file_may_name_its_own_classes(tmp_path: Path) -> None:
    ours = vocabulary("classes: [cat]\nprompts: [{prompt: kitten, means: cat}]", tmp_path)

    assert ours.class_names == ("cat",)


def test_settings_hold_the_content_and_not_the_path(tmp_path: Path) -> None:
    text = "prompts: [{prompt: car, means: car}]"
    (tmp_path / "one.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text(text)
    one, other = (
        GroundedSam.from_dict({"vocabulary": str(tmp_path / f"{name}.yaml")})
        for name in ("one", "other")
    )

    assert one == other
    assert one.identity == other.identity != GroundedSam().identity
    assert GroundedSam.from_dict(one.to_dict()) == one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompts: []", "at least one prompt"),
        ("classes: [car]", "prompts"),
        (
            "prompts: [{prompt: car, means: car}, {prompt: 'Car ', means: car}]",
            "'Car ' occurs twice",
        ),
        ("prompts: [{prompt: man, means: pedestrain}]", "'pedestrain'.*mean 'pedestrian'"),
        ("prompts: [{prompt: a.b, means: car}]", "without '.'"),
        ("prompts: [{prompt: ' ', means: car}]", "must be words"),
        ("prompts: [{word: car, means: car}]", "prompts.0.prompt. must be set"),
        ("car", "must hold settings"),
    ],
)
def test_a_bad_vocabulary_is_one_clear_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        vocabulary(text, tmp_path)


def test_an_unknown_vocabulary_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"No vocabulary 'prompts14'.*Did you mean 'prompts1"):
        GroundedSam.from_dict({"vocabulary": "prompts14"})
