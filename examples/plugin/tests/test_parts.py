"""The package's parts keep OLIVINE's promises, are found by their names, and do what is theirs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from olivine.core.errors import UserError
from olivine.core.parts import part_class
from olivine.data.dataset import Dataset
from olivine.experiments.recipes import recipe
from olivine.experiments.sweep_files import find_sweep
from olivine.labels.labeller import Labeller
from olivine.methods.losses.base import Loss
from olivine.models.backbones.base import Backbone
from olivine.testing import (
    check_backbone,
    check_dataset,
    check_labeller,
    check_loss,
    check_recipe,
    check_sweep,
)
from olivine.testing.rows import matched_rows

from olivine_example.backbones import Pillars
from olivine_example.labellers import Bands
from olivine_example.losses import DecoupledNCE
from olivine_example.make_town import CLASSES, write_town
from olivine_example.recipes import town_example
from olivine_example.town import Town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_town(tmp_path_factory.mktemp("town"), num_scenes=4, num_frames=3)


def test_the_loss_keeps_its_promises_and_is_lowest_where_keys_are_the_queries() -> None:
    loss = DecoupledNCE()
    check_loss(loss)
    rows = matched_rows(loss)
    module = loss.build(16, 5)
    assert module(replace(rows, keys=rows.queries)) < module(rows)


def test_the_backbone_keeps_its_promises() -> None:
    check_backbone(Pillars(width=16))


def test_the_labeller_keeps_its_promises_and_knows_a_red_roof(town: Path, tmp_path: Path) -> None:
    check_labeller(Bands(), Town().open(town, tmp_path))
    (ids,) = Bands()([np.array([[(200, 80, 60), (100, 100, 105)]], np.uint8)], ["roof"])
    assert [Bands().class_names[i] for i in ids[0]] == ["red", "grey"]


def test_the_data_set_keeps_its_promises_and_names_its_scenes(town: Path, tmp_path: Path) -> None:
    check_dataset(Town(), town, tmp_path)
    frames = Town(scenes=("town1",)).open(town, tmp_path)
    assert (len(frames), set(frames.scenes())) == (3, {"town1"})
    present = np.unique(frames.frame(0).class_ids)
    assert [CLASSES[i] for i in present] == list(CLASSES)
    with pytest.raises(UserError, match="has no scene nowhere"):
        Town(scenes=("nowhere",)).open(town, tmp_path)


def test_the_recipe_and_the_sweep_keep_their_promises() -> None:
    check_recipe(town_example)
    check_sweep("town_losses")


@pytest.mark.parametrize(
    ("family", "kind", "part"),
    [(Loss, "decoupled_nce", DecoupledNCE), (Backbone, "pillars", Pillars),
     (Labeller, "bands", Bands), (Dataset, "town", Town)],
)  # fmt: skip
def test_everything_is_found_by_its_name(family: type, kind: str, part: type) -> None:
    assert part_class(family, kind) is part
    assert part.kind == kind
    assert recipe("town_example") == town_example()
    assert set(find_sweep("town_losses").rows) == {"InfoNCE", "decoupled"}
