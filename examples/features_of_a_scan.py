"""The feature of every point of one scan, and the points that are most like the first one.

    python examples/features_of_a_scan.py RUN SCAN [OUT]

RUN is a run's id or fingerprint or the beginning of one, or a file or folder of weights; SCAN is
nuScenes' .pcd.bin, SemanticKITTI's .bin or an array of x, y, z and intensity; OUT is the folder of
the runs.
"""

import sys

import numpy as np

import olivine
from olivine.data.scans import read_scan_file


def main(run: str, scan_file: str, out: str = "runs") -> None:
    """Print the shape of the features and the five points nearest to the first in their space."""
    encoder = olivine.PointEncoder(olivine.load_backbone(run, out=out))
    scan = read_scan_file(scan_file)
    features = encoder(scan.xyz_m, scan.intensity)
    print(f"{features.shape[0]} points, {features.shape[1]} channels, {features.dtype}")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    cosine = unit @ unit[0]
    for point in np.argsort(-cosine)[:5]:
        x_m, y_m, z_m = scan.xyz_m[point]
        print(f"point {point} at ({x_m:.1f}, {y_m:.1f}, {z_m:.1f}) m: cosine {cosine[point]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
