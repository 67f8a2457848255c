"""Two workers that share a batch have the losses, gradients and states of one that has it all."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from olivine.data.records import IGNORE
from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.losses.stateful import Stateful
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.losses.vmf import VMF
from olivine.methods.matched import Matched, StepPart
from olivine.training.segmentation import batch_losses

LOSSES = {
    "info_nce": InfoNCE(gather_keys=True),
    "shared keys": InfoNCE(gather_keys=True),
    "sup_con": SupCon(gather_keys=True),
    "bank": VMF(momentum=0.5, warmup_steps=0, freeze=False),
    "bank per group": VMF(
        bank="per_group", momentum=0.5, warmup_steps=0, freeze=False, bias_correction=True
    ),
    "posterior": VMF(
        momentum=0.5, warmup_steps=0, freeze=False, bias_correction=True, form="posterior"
    ),
    "queue": QueueNCE(size=70),  # the third step overwrites the first
}
EVALUATION = "evaluation"
STEPS, CHANNELS, NUM_CLASSES = 3, 8, 4
ROWS_OF_GROUP = (9, 4, 17, 6)  # workers hold two groups each, of different sizes


def whole_step(step: int) -> Matched:
    generator = torch.Generator().manual_seed(step)
    number = sum(ROWS_OF_GROUP)
    queries, keys = (
        F.normalize(torch.randn(number, CHANNELS, generator=generator), dim=1) for _ in range(2)
    )
    classes = torch.randint(0, NUM_CLASSES, (number,), generator=generator)
    classes[::5] = IGNORE
    groups = torch.repeat_interleave(torch.arange(4), torch.tensor(ROWS_OF_GROUP))
    if step == 1:  # a worker without a single class
        classes[groups >= 2] = IGNORE
    return Matched(queries.requires_grad_(), keys.requires_grad_(), classes, groups)


def two_by_two(groups: torch.Tensor) -> torch.Tensor:
    """Return the same key for every two rows of a group."""
    row = torch.arange(len(groups))
    first = torch.searchsorted(groups, groups)
    return first + (row - first) // 2


def run(worker: int | None) -> dict[str, list]:
    """Return loss, gradients and state of every step; worker None has the whole batch."""
    results = {}
    for name, settings in LOSSES.items():
        loss, results[name] = settings.build(CHANNELS, NUM_CLASSES), []
        assert isinstance(loss, Stateful)
        for step in range(STEPS):
            whole = whole_step(step)
            if name == "shared keys":
                whole = replace(whole, key_of=two_by_two(whole.group_ids))
            mine = whole.group_ids // 2 == worker if worker is not None else slice(None)
            share = whole.take(mine)
            mine_alone = range(4) if worker is None else range(2 * worker, 2 * worker + 2)
            loss.observe(share, StepPart(groups=mine_alone))
            groups = [share.take(share.group_ids == g) for g in share.group_ids.unique()]
            value = torch.stack([loss(group) for group in groups]).mean()
            value.backward()
            gradients = [
                torch.zeros_like(x) if x.grad is None else x.grad
                for x in (whole.queries, whole.keys)
            ]
            state = {key: x.clone() for key, x in loss.state_dict().items()}
            results[name].append((value.detach(), *gradients, state))
    return results


def run_evaluation(worker: int | None) -> list[tuple]:
    """Return the loss of an evaluation and its gradient; a worker has fewer labels, or none."""
    results = []
    for step in range(STEPS):
        whole = whole_step(step)
        logits = whole.queries.detach().clone().requires_grad_()
        mine = whole.group_ids // 2 == worker if worker is not None else slice(None)
        losses = batch_losses(logits[mine], whole.class_ids[mine], lovasz_weight=0.5)
        value = torch.stack(list(losses.values())).sum()
        value.backward()
        results.append((value.detach(), logits.grad, {}))
    return results


def work(worker, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=worker, world_size=2
    )
    results = run(worker) | {EVALUATION: run_evaluation(worker)}
    torch.save(results, folder / f"{worker}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """Return the results of two processes."""
    folder = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(work, (folder,), nprocs=2)
    return [torch.load(folder / f"{worker}.pt") for worker in range(2)]


@pytest.mark.parametrize("name", [*LOSSES, EVALUATION])
def test_two_workers_equal_one(name, of_two):
    one = run_evaluation(None) if name == EVALUATION else run(None)[name]
    for step, (value, *gradients, state) in enumerate(one):
        steps = [worker[name][step] for worker in of_two]
        torch.testing.assert_close((steps[0][0] + steps[1][0]) / 2, value)
        for number, expected in enumerate(gradients, start=1):
            found = (steps[0][number] + steps[1][number]) / 2  # what data-parallel averaging does
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
        for key, expected in state.items():
            for worker in steps:
                torch.testing.assert_close(worker[-1][key], expected, rtol=1e-5, atol=1e-7)
    assert one[-1][0] != 0
    assert one[-1][1].abs().sum() > 0
