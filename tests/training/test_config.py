import typing

import pytest

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.experiments.demo_scale import DEMO_BACKBONE
from olivine.experiments.recipes import demo
from olivine.methods.catalogue import ppkt_method
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.training.config import (
    EvaluateChanges,
    EvaluateConfig,
    PretrainChanges,
    PretrainConfig,
)


@pytest.mark.parametrize(
    ("changes", "config"),
    [(PretrainChanges, PretrainConfig), (EvaluateChanges, EvaluateConfig)],
)
def test_the_changes_are_the_fields_of_the_configuration(changes: type, config: type[Spec]) -> None:
    fields = typing.get_type_hints(config)
    wanted = {name: fields[name] for name in config.model_fields}
    assert typing.get_type_hints(changes) == wanted
    assert list(typing.get_type_hints(changes)) == list(config.model_fields)


def test_a_typed_copy_equals_one_by_dotted_names() -> None:
    typed = demo().with_pretraining(method=ppkt_method(), labels=None, num_channels=8)
    typed = typed.with_evaluation(head_lr=0.5, seed=3)
    dotted = demo().override(
        {
            "pretrained.method": ppkt_method(),
            "pretrained.labels": None,
            "pretrained.num_channels": 8,
            "head_lr": 0.5,
            "seed": 3,
        }
    )
    assert typed == dotted
    assert typed.to_yaml() == dotted.to_yaml()


def test_a_copy_is_checked_as_a_new_value_is() -> None:
    with pytest.raises(UserError, match=r"needs weak labels: set labels\.kind"):
        demo().with_pretraining(labels=None)
    with pytest.raises(UserError, match="No setting 'nmu_epochs'"):
        demo().with_pretraining(nmu_epochs=1)
    with pytest.raises(UserError, match=r"'head_lr': .*greater than 0; it was given -1"):
        demo().with_evaluation(head_lr=-1.0)


def test_the_original_stays_as_it_was() -> None:
    before = demo()
    before.with_pretraining(seed=5)
    assert before == demo()


def test_an_evaluation_has_its_own_settings_of_the_network() -> None:
    experiment = demo().with_evaluation(protocol="finetune", backbone={"bn_momentum": 0.01})
    assert experiment.evaluated_backbone == DEMO_BACKBONE.replace(bn_momentum=0.01)
    assert experiment.pretrained.backbone == DEMO_BACKBONE
    assert experiment.override({"backbone.bn_momentum": 0.01}) == experiment
    assert EvaluateConfig.from_dict(experiment.to_dict()) == experiment
    kept = experiment.override({"backbone.bn_momentum": None, "backbone.engine": "torch"})
    assert kept.evaluated_backbone == DEMO_BACKBONE


def test_what_changes_no_result_of_an_evaluation_is_in_no_fingerprint() -> None:
    """As runs of earlier versions have it, which could change nothing."""
    tuned = demo().with_evaluation(protocol="finetune", backbone={})
    assert "backbone" not in tuned.fingerprint_fields()
    for same in ({"bn_momentum": 0.05}, {"engine": "minkowski"}):
        assert tuned.with_evaluation(backbone=same).fingerprint() == tuned.fingerprint()
    other = tuned.with_evaluation(backbone={"bn_momentum": 0.02})
    assert other.fingerprint() != tuned.fingerprint()
    assert other.pretrained.fingerprint() == tuned.pretrained.fingerprint()
    frozen = {"protocol": "linear_probe"}
    assert other.override(frozen).fingerprint() == tuned.override(frozen).fingerprint()
    scan = WaffleIron()
    of_scan = demo().with_pretraining(backbone=scan)
    wider = of_scan.with_evaluation(backbone={"intensity_std": 2.0})
    assert wider.protocol == "linear_probe"
    assert wider.fingerprint() != of_scan.fingerprint()


def test_another_kind_of_network_starts_without_changes() -> None:
    experiment = demo().with_evaluation(backbone={"bn_momentum": 0.01})
    waffleiron = WaffleIron(width=16, depth=3)
    ways = (
        experiment.with_pretraining(backbone=waffleiron),
        experiment.override({"pretrained.backbone": waffleiron}),
        experiment.override({"pretrained": experiment.pretrained.replace(backbone=waffleiron)}),
    )
    for changed in ways:
        assert changed.evaluated_backbone == waffleiron
    by_kind = {"pretrained.backbone.kind": "waffleiron", "backbone.drop_path": 0.1}
    assert experiment.override(by_kind).evaluated_backbone == WaffleIron(drop_path=0.1)
    deeper = experiment.with_pretraining(backbone=DEMO_BACKBONE.replace(blocks=(2, 1, 1, 1)))
    assert deeper.evaluated_backbone.bn_momentum == 0.01  # type: ignore[attr-defined] # MinkUNet's


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"backbone": {"planes": [8, 8]}}, r"may change bn_momentum, .* of minkunet, not 'planes'"),
        ({"backbone.planes": [8, 8]}, r"'planes' is not one of bn_momentum"),
        ({"backbone": {"bn_momentun": 0.1}}, "Did you mean 'bn_momentum'"),
        ({"backbone.bn_momentum": 2}, r"'backbone\.bn_momentum': .*; it was given 2"),
        ({"backbone.kind": "waffleiron"}, "not a part with a kind"),
        (
            {"pretrained.backbone.kind": "voxelnet", "backbone.bn_momentum": 0.1},
            "'backbone' has no settings",
        ),
    ],
)
def test_an_evaluation_must_not_change_what_weights_depend_on(
    settings: dict[str, object], wanted: str
) -> None:
    with pytest.raises(UserError, match=wanted):
        demo().override(settings)
