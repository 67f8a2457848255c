import torch

from olivine.models.scatter import group_means


def test_every_group_has_the_mean_of_its_rows_and_an_empty_one_zeros() -> None:
    rows = torch.arange(12.0).view(6, 2).requires_grad_()
    group = torch.tensor([2, 0, 2, 0, 0, 3])

    means = group_means(rows, group, 5)

    for number in (0, 2, 3):
        torch.testing.assert_close(means[number], rows[group == number].mean(0))
    assert not means[[1, 4]].any()
    means.sum().backward()
    share = 1 / group.bincount()[group].float()
    torch.testing.assert_close(rows.grad, share[:, None].expand(-1, 2))


def test_means_of_many_rows_in_half_precision_are_means() -> None:
    rows = 1 + torch.rand(5000, 3, generator=torch.Generator().manual_seed(0))

    for dtype in (torch.bfloat16, torch.float16):
        means = group_means(rows.to(dtype), torch.zeros(5000, dtype=torch.long), 1)
        torch.testing.assert_close(means[0], rows.mean(0), rtol=1e-3, atol=0)
