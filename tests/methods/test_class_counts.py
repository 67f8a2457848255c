import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.methods.class_counts import ClassCounter, require_pairs

NAMES = ("car", "bus", "tree")


def seen(*class_ids: int) -> ClassCounter:
    counter = ClassCounter()
    counter.add(torch.tensor(class_ids, dtype=torch.long))
    return counter


def test_a_class_without_a_point_is_told_once_the_epoch_is_over() -> None:
    counter = seen(0, 0, 2, IGNORE)
    counter.require_classes(NAMES)
    counter.close()

    with pytest.raises(UserError, match=r"weak class bus \(1 of 3\).*allow=absent_classes"):
        counter.require_classes(NAMES)


def test_all_classes_seen_is_fine_and_later_epochs_change_nothing() -> None:
    counter = seen(0, 1)
    counter.add(torch.tensor([2, 2]))
    counter.close()
    counter.require_classes(NAMES)
    before = counter.num_pairs.clone()
    counter.add(torch.tensor([1]))
    counter.close()

    assert torch.equal(counter.num_pairs, before)
    assert before[:3].tolist() == [1, 1, 2]


def test_a_run_that_goes_on_knows_what_its_first_epoch_lacked() -> None:
    counter = seen(0, 2)
    counter.close()
    resumed = ClassCounter()
    resumed.load_state_dict(counter.state_dict())

    with pytest.raises(UserError, match="bus"):
        resumed.require_classes(NAMES)


def test_a_state_saved_within_the_epoch_goes_on_counting() -> None:
    counter = seen(0)
    counter.gather()
    resumed = ClassCounter()
    resumed.load_state_dict(counter.state_dict())
    resumed.add(torch.tensor([1, 2]))
    resumed.close()
    resumed.require_classes(NAMES)


def test_fewer_pairs_than_asked_for_are_told() -> None:
    require_pairs({"pixel": (100, 100)}, 4)
    with pytest.raises(UserError, match=r"'class' asks for 100 pairs of 4 frames.* has 99"):
        require_pairs({"pixel": (100, 100), "class": (100, 99)}, 4)
