import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    """Small products gain nothing from a second thread and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
