"""The number of loader processes of a stage, and that it is said."""

import logging

import pytest
import torch

from olivine.core.loader_share import Machine
from olivine.core.runtime import Runtime
from olivine.training.loader_processes import loader_tag, num_loader_processes
from olivine.training.worker import LocalWorker


class Placed(LocalWorker):
    """A worker on a machine of 6 CPUs."""

    def __init__(self, device: str):
        super().__init__()
        self.device = torch.device(device)

    def machine(self) -> Machine:
        return Machine(6.0, 100.0, 100.0)


@pytest.mark.parametrize(
    ("settings", "device", "number"),
    [
        ({}, "cuda", 5),
        ({}, "cpu", 1),
        ({"num_loader_workers": 0}, "cuda", 0),
        ({"num_loader_workers": 11}, "cpu", 11),
        ({"feed": "ray_data"}, "cuda", 1),
        ({"feed": "ray_data", "num_loader_workers": 3}, "cuda", 3),
    ],
)
def test_a_number_that_is_set_stays_and_auto_is_the_workers_share(settings, device, number):
    runtime = Runtime.from_dict(settings)
    assert num_loader_processes(runtime, Placed(device)) == number


def test_what_was_chosen_is_logged_by_the_first_worker(caplog):
    worker = Placed("cuda")
    with caplog.at_level(logging.INFO, "olivine"):
        assert loader_tag(Runtime(), worker) == {"loader_processes": "5"}
        assert loader_tag(Runtime(num_loader_workers=2), worker) == {"loader_processes": "2"}
        worker.rank = 1
        assert loader_tag(Runtime(), worker) == {"loader_processes": "5"}
    (record,) = caplog.records
    assert "5 loader processes per worker, of 6 CPUs, for a training on a GPU" in record.message
