"""The learning map is the benchmark's."""

import numpy as np
import pytest
import yaml

from olivine.data.datasets.semantic_kitti.classes import (
    CLASS_NAMES,
    FINE_CLASSES,
    UNKNOWN,
    class_lookup,
)
from olivine.data.datasets.semantic_kitti.layout import NUM_SCANS, SEQUENCES
from olivine.data.records import IGNORE


@pytest.fixture(scope="module")
def official(shared_data):
    path = shared_data / "splits_and_manifests" / "semantic-kitti.yaml"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return yaml.safe_load(path.read_text())


def test_every_id_has_the_name_and_the_class_of_the_official_file(official):
    assert {index: name for index, (name, _) in FINE_CLASSES.items()} == official["labels"]
    lookup = class_lookup()
    for index, learnt in official["learning_map"].items():
        assert lookup[index] == (learnt - 1 if learnt else IGNORE)
    names = [official["labels"][official["learning_map_inv"][k]] for k in range(1, 20)]
    assert tuple(names) == CLASS_NAMES


def test_the_splits_are_the_official_ones(official):
    found = {name: [int(sequence) for sequence in SEQUENCES[name]] for name in SEQUENCES}
    split = official["split"]
    assert found == {"train": split["train"], "val": split["valid"], "test": split["test"]}
    totals = {name: sum(NUM_SCANS[s] for s in SEQUENCES[name]) for name in SEQUENCES}
    assert totals == {"train": 19_130, "val": 4_071, "test": 20_351}


def test_what_moves_is_what_it_is_at_rest_and_no_other_id_is_known():
    lookup, id_of = class_lookup(), {name: index for index, (name, _) in FINE_CLASSES.items()}
    for name, index in id_of.items():
        assert lookup[index] == lookup[id_of[name.removeprefix("moving-")]]
    known = np.flatnonzero(lookup != UNKNOWN)
    assert set(known) == set(FINE_CLASSES)
    assert set(lookup[known]) == {*range(19), IGNORE}
