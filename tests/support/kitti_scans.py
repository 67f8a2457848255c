"""SemanticKITTI written by hand: few scans of few points, whose classes can be learnt."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from olivine.data.datasets.semantic_kitti.classes import FINE_CLASSES

NUM_POINTS = 60
_IDS = list(FINE_CLASSES)


class SmallKitti:
    """Sequences of scans; a point's class goes by its height, its instance is at random."""

    def __init__(self, root: Path, num_scans: Mapping[str, int], num_points: int = NUM_POINTS):
        self.root, self._generator = root, np.random.default_rng(0)
        for sequence, number in num_scans.items():
            for place in range(number):
                self._write(sequence, place, num_points)

    def scan(self, sequence: str, number: int) -> Path:
        """Return a scan's path."""
        return self.root / f"sequences/{sequence}/velodyne/{number:06d}.bin"

    def labels(self, sequence: str, number: int) -> Path:
        """Return a label file's path."""
        return self.root / f"sequences/{sequence}/labels/{number:06d}.label"

    def _write(self, sequence: str, number: int, num_points: int) -> None:
        scan = self._generator.uniform(-20, 20, (num_points, 4)).astype(np.float32)
        scan[:, 3] = self._generator.uniform(0, 1, num_points)
        place = self._generator.integers(0, len(_IDS), num_points)
        scan[:, 2] = place / 10 + 0.05
        instances = self._generator.integers(0, 1 << 16, num_points).astype(np.uint32)
        fine = np.array(_IDS, np.uint32)[place] | instances << 16
        for path, data in (
            (self.scan(sequence, number), scan),
            (self.labels(sequence, number), fine),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.tobytes())
