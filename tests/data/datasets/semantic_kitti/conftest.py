"""A SemanticKITTI small enough to break by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kitti_scans import SmallKitti


@pytest.fixture
def kitti(tmp_path: Path) -> Callable[..., SmallKitti]:
    """Return a maker of small data sets below a fresh folder."""

    def make(**num_scans: int) -> SmallKitti:
        sequences = {name.removeprefix("s"): number for name, number in num_scans.items()}
        return SmallKitti(tmp_path / "kitti", sequences)

    return make
