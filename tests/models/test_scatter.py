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
