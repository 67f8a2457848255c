import pytest
import torch
import torch.nn.functional as F

from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.matched import Matched


def unit(number, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(number, 8, generator=generator), dim=1)


def matched(seed, number=3):
    ids = torch.zeros(number, dtype=torch.long)
    return Matched(unit(number, seed), unit(number, 100 + seed), ids, ids)


def seen(queue, *seeds):
    """Return the loss of the last of these steps."""
    for seed in seeds:
        queue.observe(matched(seed))
        value = queue(matched(seed))
    return value


def expected(seed, *earlier):
    """Write the loss as it is defined, over the keys of earlier steps."""
    step = matched(seed)
    own = (step.queries * step.keys).sum(dim=1, keepdim=True)
    others = step.queries @ torch.cat([matched(s).keys for s in earlier]).T
    logits = torch.cat([own, others], dim=1) / 0.1
    return F.cross_entropy(logits, torch.zeros(3, dtype=torch.long))


def test_queries_are_compared_with_their_own_key_and_those_of_earlier_steps():
    assert seen(QueueNCE(size=9).build(8, 1), 1) == 0
    torch.testing.assert_close(seen(QueueNCE(size=9).build(8, 1), 1, 2, 3), expected(3, 1, 2))


def test_the_oldest_keys_leave_first():
    found = seen(QueueNCE(size=6).build(8, 1), 1, 2, 3, 4)
    torch.testing.assert_close(found, expected(4, 2, 3))


def test_the_gradient_reaches_query_and_own_key_and_survives_the_next_step():
    queue = QueueNCE(size=4).build(8, 1)
    queue.observe(matched(1))
    step = matched(2)
    rows = Matched(
        step.queries.requires_grad_(), step.keys.requires_grad_(), step.class_ids, step.group_ids
    )
    queue.observe(rows)
    value = queue(rows)
    queue.observe(matched(3))  # writes into the queue before the gradient is taken
    value.backward()
    assert rows.queries.grad.abs().sum() > 0
    assert rows.keys.grad.abs().sum() > 0


def test_a_checkpoint_goes_on_where_it_was():
    first, second = QueueNCE(size=7).build(8, 1), QueueNCE(size=7).build(8, 1)
    seen(first, 1, 2, 3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(seen(first, 4), seen(second, 4))
    assert torch.equal(first.queue, second.queue)
    assert second.state_metrics()["keys_held"] == 7


@pytest.mark.parametrize("number", [5, 12])
def test_more_keys_than_the_queue_holds_leave_the_last(number):
    queue = QueueNCE(size=5).build(8, 1)
    queue.observe(matched(1, number))
    queue.observe(matched(2, number))
    held = {tuple(row.tolist()) for row in queue.queue}
    assert held == {tuple(row.tolist()) for row in matched(2, number).keys[-5:]}


def test_no_step_waits_for_the_device():
    """Tensors on "meta" have no values, so whatever asks for one raises."""
    queue = QueueNCE(size=7).build(8, 1).to("meta")
    rows = torch.empty(3, 8, device="meta", requires_grad=True)
    ids = torch.empty(3, dtype=torch.long, device="meta")
    for _ in range(4):
        step = Matched(rows, rows, ids, ids)
        queue.observe(step)
        queue(step).backward()
    assert queue.earlier.shape == (7, 8)
