"""The two sensor rigs of nuScenes' cars, and the time of each sensor.

Extrinsics of n015 and all intrinsics and translations are those of real calibrated_sensor rows; the
cameras of n008 have n015's rotations.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from olivine.data.datasets.nuscenes.tables import CAMERAS
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.geometry.rigid import se3

CAMERA_NAMES = CAMERAS
RADAR_NAMES = (
    "RADAR_FRONT",
    "RADAR_FRONT_LEFT",
    "RADAR_FRONT_RIGHT",
    "RADAR_BACK_LEFT",
    "RADAR_BACK_RIGHT",
)
# Camera exposure relative to the end of the sweep: the median over v1.0-mini, when the beam
# passes the camera's axis.
CAMERA_DELAY_S = (-0.0355, -0.0275, -0.0200, -0.0104, -0.0005, -0.0431)
SWEEP_S = 0.050
KEYFRAME_S = 0.5

_ROTATIONS = (
    (0.4998015430569128, -0.5030316162024876, 0.4997798114386805, -0.49737083824542755),
    (0.2060347966337182, -0.2026940577919598, 0.6824507824531167, -0.6713610884174485),
    (0.12280980120078765, -0.132400842670559, -0.7004305821388234, 0.690496031265798),
    (0.5037872666382278, -0.49740249788611096, -0.4941850223835201, 0.5045496097725578),
    (0.6924185592174665, -0.7031619420114925, -0.11648342771943819, 0.11203317912370753),
    (0.6757265034669446, -0.6736266522251881, 0.21214015046209478, -0.21122827103904068),
)
# Per camera: translation to the ego frame, then fx = fy, cx, cy at 1600 x 900.
# fmt: off
_N015 = (
    (1.70079118954, 0.0159456324149, 1.51095763913,
     1266.417203046554, 816.2670197447984, 491.50706579294757),
    (1.5508477543, -0.493404796419, 1.49574800619,
     1260.8474446004698, 807.968244525554, 495.3344268742088),
    (1.0148780988, -0.480568219723, 1.56239545128,
     1259.5137405846733, 807.2529053838625, 501.19579884916527),
    (0.0283260309358, 0.00345136761476, 1.57910346144,
     809.2209905677063, 829.2196003259838, 481.77842384512485),
    (1.03569100218, 0.484795032713, 1.59097014818,
     1256.7414812095406, 792.1125740759628, 492.7757465151356),
    (1.52387798135, 0.494631336551, 1.50932822144,
     1272.5979470598488, 826.6154927353808, 479.75165386361925),
)
# fmt: on
_N008 = (
    (1.7220, 0.0048, 1.4949, 1252.813, 826.588, 469.985),
    (1.5808, -0.4991, 1.5175, 1256.749, 817.789, 451.954),
    (1.0595, -0.4672, 1.5505, 1249.963, 825.377, 462.548),
    (0.0552, 0.0108, 1.5679, 796.891, 857.777, 476.885),
    (1.0485, 0.4831, 1.5621, 1254.986, 829.577, 467.168),
    (1.5753, 0.5005, 1.5070, 1257.863, 827.241, 450.916),
)
_LIDAR = {
    "n015": (
        (0.943713, 0.0, 1.84023),
        (0.7077955119163518, -0.006492242056004365, 0.010646214713995808, -0.7063073142877817),
    ),
    "n008": ((0.985793, 0.0, 1.84019), (0.7067492, -0.0153010, 0.0173975, -0.7070847)),
}


@dataclass(frozen=True)
class Mount:
    """The pose and the optics of one sensor on the car."""

    name: str
    translation_m: tuple[float, float, float]
    rotation_wxyz: tuple[float, float, float, float]
    intrinsics_px: tuple[tuple[float, ...], ...]  # 3 rows, or none for the LiDAR
    delay_s: float  # of its moment, after the end of the sweep

    @property
    def ego_SE3_sensor(self) -> Float[np.ndarray, "4 4"]:
        """Return the sensor's pose."""
        return se3(np.array(self.rotation_wxyz), np.array(self.translation_m))


@dataclass(frozen=True)
class Rig:
    """One car's sensors."""

    vehicle: str
    lidar: Mount
    cameras: tuple[Mount, ...]


def rig_of(vehicle: str, config: WorldConfig) -> Rig:
    """Return the rig of "n008" or "n015", intrinsics scaled to the world's image size."""
    scale = config.image_width_px / 1600
    translation, rotation = _LIDAR[vehicle]
    rows = _N015 if vehicle == "n015" else _N008
    cameras = tuple(
        Mount(name, (x, y, z), quaternion, _intrinsics(f * scale, cx * scale, cy * scale), delay)
        for name, quaternion, (x, y, z, f, cx, cy), delay in zip(
            CAMERA_NAMES, _ROTATIONS, rows, CAMERA_DELAY_S, strict=True
        )
    )
    return Rig(vehicle, Mount("LIDAR_TOP", translation, rotation, (), 0.0), cameras)


def _intrinsics(f: float, cx: float, cy: float) -> tuple[tuple[float, ...], ...]:
    return ((f, 0.0, cx), (0.0, f, cy), (0.0, 0.0, 1.0))
