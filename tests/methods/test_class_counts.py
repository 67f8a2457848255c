import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.methods.class_counts import ClassCounter, require_pairs

NAMES = ("car", "bus", "tree")


def seen(*class_ids: int) -> ClassCounter:
    census = ClassCounter()
    census.see(torch.tensor(class_ids, dtype=torch.long))
    return census


def test_a_class_without_a_point_is_told_once_the_epoch_is_over() -> None:
    census = seen(0, 0, 2, IGNORE)
    census.require_classes(NAMES)
    census.close()

    with pytest.raises(UserError, match=r"weak class bus \(1 of 3\).*allow=absent_classes"):
        census.require_classes(NAMES)


def test_all_classes_seen_is_fine_and_later_epochs_change_nothing() -> None:
    census = seen(0, 1)
    census.see(torch.tensor([2, 2]))
    census.close()
    census.require_classes(NAMES)
    before = census.num_pairs.clone()
    census.see(torch.tensor([1]))
    census.close()

    assert torch.equal(census.num_pairs, before)
    assert before[:3].tolist() == [1, 1, 2]


def test_a_run_that_goes_on_knows_what_its_first_epoch_lacked() -> None:
    census = seen(0, 2)
    census.close()
    resumed = ClassCounter()
    resumed.load_state_dict(census.state_dict())

    with pytest.raises(UserError, match="bus"):
        resumed.require_classes(NAMES)


def test_a_state_saved_within_the_epoch_goes_on_counting() -> None:
    census = seen(0)
    census.join()
    resumed = ClassCounter()
    resumed.load_state_dict(census.state_dict())
    resumed.see(torch.tensor([1, 2]))
    resumed.close()
    resumed.require_classes(NAMES)


def test_fewer_pairs_than_asked_for_are_told() -> None:
    require_pairs({"pixel": (100, 100)}, 4)
    with pytest.raises(UserError, match=r"'class' asks for 100 pairs of 4 frames.* one has 99"):
        require_pairs({"pixel": (100, 100), "class": (100, 99)}, 4)
