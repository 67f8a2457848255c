import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from olivine.core.errors import UserError
from olivine.core.hashing import value_hash
from olivine.core.parts import kinds, part_class
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec, parse_settings, read_yaml
from olivine.data.augmentations.base import Augmentation
from olivine.data.clusterings.base import Clustering
from olivine.data.dataset import Dataset
from olivine.data.geometry.voxels import Voxelizer
from olivine.experiments.limits import Limits
from olivine.experiments.recipes import RECIPES, demo, recipe
from olivine.labels.labeller import Labeller
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.regions import Regions
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.method import Term
from olivine.methods.poolings.base import Pooling
from olivine.methods.samplers.base import Sampler
from olivine.models.backbones.base import Backbone
from olivine.models.teachers.base import Teacher
from olivine.training.optimisers.base import Optimiser

FAMILIES = (
    Dataset, Labeller, Clustering, Augmentation, Backbone, Teacher, Sampler, Pooling, Loss,
    Optimiser,
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.family)
def test_every_kind_of_a_familys_table_is_a_member_that_calls_itself_so(family):
    assert set(kinds(family)) >= set(family.built_in)
    for kind in family.built_in:
        part = part_class(family, kind)
        assert issubclass(part, family)
        assert part.kind == kind
        assert part_class(part, kind) is part  # of a member, those of its family


class Fixed(Loss):
    __module__ = "olivine.one.place"  # only then it is a part of ours
    kind = "fixed"

    def build(self, num_channels, num_classes):
        raise AssertionError


class Moved(Fixed):
    __module__ = "olivine.another.place"


class Changed(Fixed):
    __module__ = "olivine.one.place"
    code_version = 2


def test_a_fingerprint_depends_on_kind_and_code_version_and_not_on_where_the_code_lies():
    assert Moved().fingerprint() == Fixed().fingerprint()
    assert Changed().fingerprint() != Fixed().fingerprint()
    assert Changed().to_dict() == Fixed().to_dict() == {"kind": "fixed"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json_and_yaml(name, tmp_path):
    experiment = recipe(name)
    again = type(experiment).from_dict(json.loads(json.dumps(experiment.to_dict())))
    assert again == experiment
    path = tmp_path / "settings.yaml"
    path.write_text(experiment.to_yaml())
    assert type(experiment).from_dict(read_yaml(path)).fingerprint() == experiment.fingerprint()


def test_fingerprints_differ_between_recipes_and_with_any_setting():
    assert len({recipe(name).fingerprint() for name in RECIPES}) == len(RECIPES)
    experiment = demo()
    assert experiment.override({"pretrained.seed": 1}).fingerprint() != experiment.fingerprint()
    assert experiment.override({"pretrained.seed": 0}).fingerprint() == experiment.fingerprint()


def test_every_flattened_name_can_be_set_to_its_own_value():
    experiment = demo()
    assert experiment.override(experiment.flatten()) == experiment


def test_setting_a_kind_starts_from_that_kinds_defaults():
    name = "pretrained.method.terms.class.loss"
    changed = demo().override({f"{name}.temperature": 0.3, f"{name}.kind": "info_nce"})
    assert changed.pretrained.method.terms["class"].loss == InfoNCE(temperature=0.3)
    same = demo().override({f"{name}.temperature": 0.3}).override({f"{name}.kind": "sup_con"})
    assert same.pretrained.method.terms["class"].loss == SupCon(temperature=0.3)


@pytest.mark.parametrize("inner_first", [False, True])
def test_a_part_within_a_part_is_chosen_with_it(inner_first):
    settings = {
        "pretrained.segments.kind": "regions",
        "pretrained.segments.of.kind": "embedded",
        "pretrained.segments.min_px": 5,
    }
    if inner_first:
        settings = dict(reversed(settings.items()))
    changed = demo().override(settings)
    assert changed.pretrained.segments == Regions(of=Embedded(), min_px=5)
    with pytest.raises(UserError, match=r"'pretrained.segments.of' must be set"):
        demo().override({"pretrained.segments.kind": "regions"})
    with pytest.raises(UserError, match=r"No setting 'pretrained.segments.off'"):
        demo().override({"pretrained.segments.kind": "slic", "pretrained.segments.off.kind": "x"})


def test_a_part_that_is_off_is_switched_on_by_its_kind():
    off = recipe("demo_ppkt")
    assert off.pretrained.labels is None
    on = off.override({"pretrained.labels.kind": "embedded"})
    assert on.pretrained.labels == demo().pretrained.labels


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pretrained.seed.kind": "x"}, "is not a part"),
        ({"pretrained.method.terms.clas.weight": 1}, "Did you mean 'class'"),
        ({"pretrained.optimiser.lrr": 1}, "Did you mean 'lr'"),
        ({"pretrained.seed.x": 1}, "'pretrained.seed' is 0"),
        ({"pretrained.backbone.kind": "minkunett"}, "Did you mean 'minkunet'"),
        ({"pretrained.backbone.kind": "MinkUnet"}, "Did you mean 'minkunet'"),
        ({"pretrained.optimiser.lr": -1}, "greater than 0; it was given -1"),
        ({"pretrained.batch_frames": 3}, "must be a multiple"),
        ({"pretrained.labels": None}, "needs weak labels"),
        ({"pretrained.teacher": None}, "set teacher.kind"),
        ({"protocol": "probe"}, "'linear_probe' or 'finetune'; it was given 'probe'"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        demo().override(settings)
    assert "\n" not in str(caught.value)


def test_values_are_read_as_people_write_them():
    texts = ["a=1e-4", "b.c=[1, 2]", "d=null", "e=true", "f=text", "g=0.5", "h=-3"]
    assert parse_settings(texts) == {
        "a": 1e-4, "b.c": [1, 2], "d": None, "e": True, "f": "text", "g": 0.5, "h": -3,
    }  # fmt: skip


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_survives_the_command_line(number):
    assert parse_settings([f"x={number!r}"])["x"] == number


@pytest.mark.parametrize("text", ["lr", "=3", "x={"])
def test_a_malformed_setting_is_an_error(text):
    with pytest.raises(UserError):
        parse_settings([text])


BROKEN_VALUES = ["2026-13-45", "!!int x", "!!int ''", "!!float x", "!!bool x", "!!timestamp x",
                 "1" * 5000, "[" * 5000]  # fmt: skip


@pytest.mark.parametrize("value", BROKEN_VALUES, ids=lambda value: value[:12])
def test_a_value_that_yaml_cannot_convert_is_one_short_sentence(value, tmp_path):
    (tmp_path / "x.yaml").write_text(f"seed: {value}\n")
    for ask in (lambda: parse_settings([f"seed={value}"]), lambda: read_yaml(tmp_path / "x.yaml")):
        with pytest.raises(UserError, match=r"is not a? ?YAML") as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["pretrained.num_epochs", "pretrained.seed", "seed"])
def test_a_number_beyond_64_bits_is_refused(name):
    with pytest.raises(UserError, match=rf"{name.split('.')[-1]} must be at most 2\^63 - 1"):
        demo().override({name: 2**63})
    assert demo().override({name: 2**63 - 1}).flatten()[name] == 2**63 - 1


def test_a_settings_file_may_be_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.yaml").write_text("seed: 1\n")
    assert read_yaml("~/x.yaml") == read_yaml(tmp_path / "x.yaml") == {"seed": 1}
    with pytest.raises(UserError, match="Cannot read the settings file ~nobody_here/x"):
        read_yaml("~nobody_here/x.yaml")


def test_an_unknown_recipe_offers_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'demo_ppkt'"):
        recipe("demo_ppk")


def test_a_settings_file_that_is_no_mapping_is_an_error(tmp_path):
    (tmp_path / "x.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="name: value"):
        read_yaml(tmp_path / "x.yaml")
    with pytest.raises(UserError, match="Cannot read"):
        read_yaml(tmp_path / "missing.yaml")


@pytest.mark.parametrize("name", ["optimiser", "pretrained.backbone", "pretrained.teacher"])
def test_a_part_without_its_kind_is_told_which_kinds_there_are(name):
    tree = demo().to_dict()
    *parents, leaf = name.split(".")
    node = tree
    for key in parents:
        node = node[key]
    del node[leaf]["kind"]
    with pytest.raises(UserError, match=rf"'{name}'.*name its kind, one of "):
        type(demo()).from_dict(tree)


def test_what_only_a_kind_can_do_no_family_pretends_to():
    with pytest.raises(TypeError, match="abstract"):
        Optimiser(lr=0.1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Runtime(num_workers=0),
            "Setting 'num_workers': Input should be greater than or equal to 1; it was given 0.",
        ),
        (
            lambda: Limits(max_hour=1),
            "No setting 'max_hour' in Limits, whose settings are: max_gpu_hours, max_hours, "
            "max_trials, max_usd. Did you mean 'max_hours'?",
        ),
        (
            lambda: InfoNCE(temperature="hot"),
            "Setting 'temperature': Input should be a valid number, unable to parse string as a "
            "number; it was given 'hot'.",
        ),
        (  # a part in settings: the whole dotted name
            lambda: Term(loss={"kind": "info_nce", "temperature": "cold"}),
            "Setting 'loss.temperature': Input should be a valid number, unable to parse string as "
            "a number; it was given 'cold'.",
        ),
        (  # the same by from_dict
            lambda: Term.from_dict({"loss": {"kind": "info_nce", "temperature": "hot"}}),
            "Setting 'loss.temperature': Input should be a valid number, unable to parse string as "
            "a number; it was given 'hot'.",
        ),
    ],
)
def test_settings_that_are_wrong_are_one_sentence_however_they_are_made(make, sentence):
    with pytest.raises(UserError) as told:
        make()
    assert str(told.value) == sentence
    with pytest.raises(UserError):  # nothing is left behind by the first error
        Runtime(num_workers=0)


class OwnVoxelizer(Voxelizer):
    pass


def test_a_derived_class_of_settings_is_refused_since_it_would_be_read_as_its_base():
    config = demo().pretrained
    with pytest.raises(UserError, match=r"voxels takes the class Voxelizer itself.*OwnVoxelizer"):
        config.replace(voxels=OwnVoxelizer())
    terms = dict(config.method.terms)
    name, term = next((name, term) for name, term in terms.items() if term)
    derived = type("OwnTerm", (Term,), {"__module__": __name__})(**dict(term))
    with pytest.raises(UserError, match=r"terms takes the class Term itself.*OwnTerm"):
        config.method.replace(terms={**terms, name: derived})


class Grown(Spec):
    """Settings of which a later version added one."""

    added: ClassVar[Mapping[str, Any]] = {"way": "old"}

    rate: float = Field(default=0.5, description="A number.")
    way: str = Field(default="new", description="A choice that there was not.")


class GrownWhole(Spec):
    first: Grown = Field(default=Grown(), description="One of them.")
    several: dict[str, Grown] = Field(default={"one": Grown()}, description="More of them.")


def test_a_setting_that_was_added_is_in_no_fingerprint_with_what_there_was() -> None:
    assert Grown(way="old").fingerprint() == value_hash({"rate": 0.5})
    assert Grown(way="new").fingerprint() == value_hash({"rate": 0.5, "way": "new"})
    assert Grown(way="old").to_dict() == {"rate": 0.5, "way": "old"}
    names = {"first.way": "old", "several.one.way": "old"}
    assert GrownWhole().added_settings() == names
    before = GrownWhole().override(names)
    inner = {"rate": 0.5}
    assert before.fingerprint() == value_hash({"first": inner, "several": {"one": inner}})
