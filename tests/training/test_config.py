import typing

import pytest

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.experiments.recipes import demo
from olivine.methods.catalogue import ppkt_method
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
