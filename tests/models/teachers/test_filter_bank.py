import pytest
import torch

from olivine.models.teachers.filter_bank import FilterBankTeacher

CPU = torch.device("cpu")

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0)).byte()


def test_shape_range_and_determinism():
    teacher = FilterBankTeacher(width=24)
    maps = teacher.build()(IMAGES)
    assert maps.shape == (2, teacher.num_channels, 16, 24)
    assert maps.isfinite().all()
    assert torch.equal(maps, teacher.build()(IMAGES))


@pytest.mark.parametrize("size", [(16, 24), (45, 80), (47, 83)])
def test_the_size_of_a_map_is_known_before_it_is_made(size):
    teacher = FilterBankTeacher(width=2)
    maps = teacher.build()(torch.zeros(1, 3, *size, dtype=torch.uint8))
    assert maps.shape[2:] == teacher.map_size(*size)
    assert maps.dtype == teacher.dtype_on(CPU)


def test_it_has_nothing_to_train():
    assert not list(FilterBankTeacher().build().parameters())


def test_it_tells_appearances_apart_and_not_places():
    grey, texture = torch.full((1, 3, 64, 96), 128).byte(), IMAGES[:1]
    flat = FilterBankTeacher().build()(grey)
    torch.testing.assert_close(flat, flat[:, :, :1, :1].expand_as(flat))
    assert (FilterBankTeacher().build()(texture) - flat).abs().mean() > 0.1
