"""What do superpoints of two scans cost, and what does counting cells instead of points gain?

    python benchmarks/data/superpoints.py [--data ../shared/data] [--points]

Two successive scans of SemanticKITTI, and a nuScenes keyframe with a copy of itself moved by
3 cm: ground by RANSAC, then HDBSCAN over the occupied cells of `cell_m`. With `--points` the same
over every point, which takes minutes on SemanticKITTI's 64 rings; its figure is the ratio. Wall
time, best of three rounds over cells, one round over points.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measuring import best_of
from olivine.data.clusterings.hdbscan import Hdbscan

ALMOST_POINTS_M = 1e-3  # cells that hardly two points share


def scans(data: Path) -> dict[str, list[np.ndarray]]:
    """Return two scans in one frame of reference, by the name of their data set."""
    folder = data / "semantickitti" / "sequences" / "00" / "velodyne"
    kitti = [
        np.fromfile(folder / f"{n:06}.bin", np.float32).reshape(-1, 4)[:, :3]
        + np.float32([0.86 * n, 0, 0])  # how far the car drove in between
        for n in (0, 1)
    ]
    (path,) = (data / "nuscenes_scene0061_keyframe0" / "samples" / "LIDAR_TOP").glob("*.bin")
    keyframe = np.fromfile(path, np.float32).reshape(-1, 5)[:, :3]
    return {"nuScenes": [keyframe, keyframe + np.float32(0.03)], "SemanticKITTI": kitti}


def num_shared(clustering: Hdbscan, clouds: list[np.ndarray]) -> int:
    """Return how many superpoints both scans show."""
    here, there = clustering(clouds)
    return len(np.setdiff1d(np.intersect1d(here, there), -1))


def main() -> None:
    """Print a line per data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--points", action="store_true", help="also over every point")
    arguments = parser.parse_args()
    for name, clouds in scans(arguments.data).items():
        clustering = Hdbscan()
        number = num_shared(clustering, clouds)
        cells_s = best_of(3, partial(clustering, clouds), warm_up=False)
        line = (
            f"{name}: {sum(map(len, clouds))} points, {number} shared superpoints, {cells_s:.2f} s"
        )
        if arguments.points:
            over_points = partial(clustering.replace(cell_m=ALMOST_POINTS_M), clouds)
            points_s = best_of(1, over_points, warm_up=False)
            line += f"; over all points {points_s:.1f} s, {points_s / cells_s:.1f} times as long"
        print(line, flush=True)


if __name__ == "__main__":
    main()
