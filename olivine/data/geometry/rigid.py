"""Rigid transforms: `dst_SE3_src` is the 4x4 matrix from src coordinates to dst coordinates."""

import numpy as np
from jaxtyping import Float


def se3(
    rotation_wxyz: Float[np.ndarray, "*batch 4"], translation_m: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 4 4"]:
    """Return matrices from quaternions (scalar first, as nuScenes stores them) and translations.

    Quaternions are normalised first, as in nuscenes-devkit.
    """
    q = np.asarray(rotation_wxyz, np.float64)
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(q, -1, 0)
    matrix = np.zeros((*q.shape[:-1], 4, 4))
    matrix[..., 0, :3] = _row(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w))
    matrix[..., 1, :3] = _row(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w))
    matrix[..., 2, :3] = _row(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y))
    matrix[..., :3, 3] = translation_m
    matrix[..., 3, 3] = 1.0
    return matrix


def inverse(dst_SE3_src: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """Return src_SE3_dst, exactly rigid."""
    rotation = np.swapaxes(dst_SE3_src[..., :3, :3], -1, -2)
    matrix = np.zeros_like(dst_SE3_src)
    matrix[..., :3, :3] = rotation
    matrix[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, dst_SE3_src[..., :3, 3])
    matrix[..., 3, 3] = 1.0
    return matrix


def transform(
    dst_SE3_src: Float[np.ndarray, "4 4"],
    xyz_m: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N 3"]:
    """Return points of src in dst, in double precision."""
    return xyz_m @ dst_SE3_src[:3, :3].T + dst_SE3_src[:3, 3]


def _row(*columns: float | np.ndarray) -> np.ndarray:
    return np.stack(columns, axis=-1)
