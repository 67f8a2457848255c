"""What skips a test on a machine without a GPU."""

import pytest
import torch

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU here: torch.cuda.is_available() is false"
)
