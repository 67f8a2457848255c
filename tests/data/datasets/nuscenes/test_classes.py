import numpy as np
import pytest

from olivine.data.datasets.nuscenes.classes import (
    CLASS_NAMES,
    FINE_CLASSES,
    UNKNOWN,
    class_lookup,
    official_indices,
)
from olivine.data.records import IGNORE

# Fine index to the benchmark's class, 0 being ignored; from SLidR's evaluation labels.
SLIDR = [0, 0, 7, 7, 7, 0, 7, 0, 0, 1, 0, 0, 8, 0, 2, 3, 3, 4, 5, 0, 0, 6, 9, 10, 11, 12, 13, 14]
SLIDR += [15, 0, 16, 0]


def test_the_mapping_is_slidrs_without_its_ignored_class():
    lookup = class_lookup(official_indices())
    expected = [IGNORE if train_id == 0 else train_id - 1 for train_id in SLIDR]
    np.testing.assert_array_equal(lookup[:32], expected)
    assert (lookup[32:] == UNKNOWN).all()


def test_the_mapping_is_nuscenes_devkits():
    lidarseg = pytest.importorskip("nuscenes.eval.lidarseg.utils")
    mapper = object.__new__(lidarseg.LidarsegClassMapper)  # its tables need no data set
    mapper.ignore_class = {"index": 0, "name": "ignore"}
    fine_to_coarse = mapper.get_fine2coarse()
    coarse_index = mapper.get_coarse2idx()
    for name, evaluated in FINE_CLASSES:
        assert fine_to_coarse[name] == (evaluated or "ignore")
    assert [coarse_index[name] - 1 for name in CLASS_NAMES] == list(range(16))


def test_fine_classes_are_in_the_order_of_nuscenes_devkits_colours():
    colours = pytest.importorskip("nuscenes.utils.color_map").get_colormap()
    assert [name for name, _ in FINE_CLASSES] == list(colours)


def test_a_data_set_with_other_indices_is_read_by_its_names():
    lookup = class_lookup({"vehicle.car": 200, "noise": 3})
    assert lookup[200] == CLASS_NAMES.index("car")
    assert lookup[3] == IGNORE
    assert (np.delete(lookup, [3, 200]) == UNKNOWN).all()
