"""LiDAR points to camera pixels (method.md §1.3: five steps with both ego poses).

The chain sensor -> ego at scan time -> global -> ego at image time -> camera is one matrix,
`cam_SE3_lidar`, because each step is rigid; the data set composes it once in double precision.
"""

import numpy as np
from jaxtyping import Float, Int

from olivine.data.geometry.rigid import inverse
from olivine.data.records import Correspondences

MIN_DEPTH_M = 1.0  # nearer points are the ego vehicle's roof and the camera's own housing


def compose_cam_SE3_lidar(
    ego_SE3_lidar: Float[np.ndarray, "*#batch 4 4"],
    global_SE3_ego_at_scan: Float[np.ndarray, "*#batch 4 4"],
    global_SE3_ego_at_image: Float[np.ndarray, "*#batch 4 4"],
    ego_SE3_cam: Float[np.ndarray, "*#batch 4 4"],
) -> Float[np.ndarray, "*batch 4 4"]:
    """Return the LiDAR's points at scan time in the camera at its own time.

    The ego poses are subtracted before they are multiplied: global coordinates reach thousands
    of metres and would cost three digits.
    """
    scan, image = np.broadcast_arrays(global_SE3_ego_at_scan, global_SE3_ego_at_image)
    scan, image = scan.copy(), image.copy()
    scan[..., :3, 3] -= image[..., :3, 3]
    image[..., :3, 3] = 0.0
    return inverse(ego_SE3_cam) @ inverse(image) @ scan @ ego_SE3_lidar


def project(
    xyz_m: Float[np.ndarray, "N 3"],
    cam_SE3_lidar: Float[np.ndarray, "C 4 4"],
    intrinsics_px: Float[np.ndarray, "C 3 3"],
) -> tuple[Float[np.ndarray, "C N 2"], Float[np.ndarray, "C N"]]:
    """Return column u and row v in pixels, and depth in metres, of every point in every camera.

    One matrix product for all cameras. Points behind a camera get the pixel of their mirror
    image; `visible` drops them by their depth.
    """
    chain = intrinsics_px @ cam_SE3_lidar[:, :3, :]  # C 3 4
    homogeneous = np.concatenate([xyz_m, np.ones((len(xyz_m), 1))], axis=1, dtype=np.float64)
    uvw = chain @ homogeneous.T  # C 3 N
    # The last row of every pinhole matrix is (0, 0, 1), so w is the depth.
    depth_m = uvw[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        uv_px = uvw[:, :2] / depth_m[:, None]
    return np.swapaxes(uv_px, 1, 2), depth_m


def correspondences(
    xyz_m: Float[np.ndarray, "N 3"],
    cam_SE3_lidar: Float[np.ndarray, "C 4 4"],
    intrinsics_px: Float[np.ndarray, "C 3 3"],
    image_size_px: Int[np.ndarray, "C 2"],
    margin_px: float = 0.0,
) -> Correspondences:
    """Return the pairs of points and the pixels that see them; occlusion is not tested.

    A point is seen where its depth is over 1 m and margin < u < columns - 1, likewise for rows.
    SLidR's rule, shared by all methods compared here, has margin 0; nuscenes-devkit's renderer
    has margin 1. The pixel is the nearest one.
    Pairs are sorted by camera, then point.
    """
    uv_px, depth_m = project(xyz_m, cam_SE3_lidar, intrinsics_px)
    rows, columns = image_size_px[:, 0:1], image_size_px[:, 1:2]
    u, v = uv_px[..., 0], uv_px[..., 1]
    seen = (depth_m > MIN_DEPTH_M) & (u > margin_px) & (v > margin_px)
    seen &= (u < columns - 1) & (v < rows - 1)
    camera, point = np.nonzero(seen)
    pixel = np.stack([camera, np.rint(v[seen]), np.rint(u[seen])], axis=1).astype(np.int64)
    return Correspondences(point, pixel)
