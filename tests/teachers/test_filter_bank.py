import torch

from olivine.teachers.filter_bank import FilterBankTeacher

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0)).byte()


def test_shape_range_and_determinism():
    teacher = FilterBankTeacher(width=24)
    maps = teacher.build()(IMAGES)
    assert maps.shape == (2, teacher.num_channels, 16, 24)
    assert maps.isfinite().all()
    assert torch.equal(maps, teacher.build()(IMAGES))


def test_it_has_nothing_to_train():
    assert not list(FilterBankTeacher().build().parameters())


def test_it_tells_appearances_apart_and_not_places():
    grey, texture = torch.full((1, 3, 64, 96), 128).byte(), IMAGES[:1]
    flat = FilterBankTeacher().build()(grey)
    torch.testing.assert_close(flat, flat[:, :, :1, :1].expand_as(flat))
    assert (FilterBankTeacher().build()(texture) - flat).abs().mean() > 0.1
