"""One scene: its street, the objects on it, its light, and the recording car's path."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from olivine.data.datasets.synthetic.world.mesh import Mesh
from olivine.data.datasets.synthetic.world.street import Street
from olivine.data.datasets.synthetic.world.taxonomy import Category


@dataclass(frozen=True)
class Pace:
    """Motion along a lane, with a constant acceleration and no reversing."""

    speed_m_per_s: float
    acceleration_m_per_s2: float = 0.0
    direction: int = 1  # along or against s

    def distance(self, time_s: float) -> float:
        """Return the metres gone since time zero, negative for the other direction."""
        if self.acceleration_m_per_s2 < 0:
            time_s = min(time_s, self.speed_m_per_s / -self.acceleration_m_per_s2)
        gone = self.speed_m_per_s * time_s + self.acceleration_m_per_s2 * time_s**2 / 2
        return self.direction * gone

    def speed(self, time_s: float) -> float:
        """Return the speed at a time."""
        return max(0.0, self.speed_m_per_s + self.acceleration_m_per_s2 * time_s)


@dataclass(frozen=True)
class Actor:
    """One object that nuScenes would annotate with a box."""

    mesh: Mesh
    category: Category
    s_m: float
    t_m: float
    yaw: float = 0.0  # relative to the street
    pace: Pace | None = None
    parked: bool = False
    ridden: bool = False

    def pose(self, street: Street, time_s: float) -> tuple[Float[np.ndarray, " 3"], float]:
        """Return position on the ground and yaw in the scene's frame."""
        s = self.s_at(time_s)
        z = float(street.height(s, self.t_m))
        if self.pace and self.pace.direction < 0:
            return np.array([*street.xy(s, self.t_m), z]), street.yaw(s) + np.pi + self.yaw
        return np.array([*street.xy(s, self.t_m), z]), street.yaw(s) + self.yaw

    def s_at(self, time_s: float) -> float:
        """Return the actor's position along the street."""
        return self.s_m + (self.pace.distance(time_s) if self.pace else 0.0)

    def present(self, street: Street, time_s: float) -> bool:
        """Return whether it is on the modelled piece of street."""
        if not self.pace:
            return True
        s = self.s_at(time_s)
        return street.s_range_m[0] + 10 < s < street.s_range_m[1] - 10


@dataclass(frozen=True)
class Light:
    """Weather, time of day and the camera's exposure."""

    sun: Float[np.ndarray, " 3"]  # unit vector towards it
    sun_colour: Float[np.ndarray, " 3"]
    sky_colour: Float[np.ndarray, " 3"]
    horizon_colour: Float[np.ndarray, " 3"]
    clouds: float  # 0..1
    haze_m: float  # distance at which contrast falls to 1/e
    gain: float
    warmth: float  # white balance: red up, blue down

    def ambient(self, above: Float[np.ndarray, "H 1"]) -> Float[np.ndarray, "H 3"]:
        """Return light from everywhere: `above` is the share of sky, the rest is lit ground."""
        dome = 0.6 * self.horizon_colour + 0.4 * self.sky_colour
        ground = 0.22 * self.sun_colour * max(float(self.sun[2]), 0.0) + 0.25 * dome
        return above * dome + (1 - above) * ground


@dataclass(frozen=True)
class EgoPath:
    """The recording car: its lane, pace and small swaying."""

    t_m: float
    pace: Pace
    phase: float

    def pose(self, street: Street, time_s: float) -> Float[np.ndarray, "4 4"]:
        """Return scene_SE3_ego; z is 0 as in nuScenes, roll and pitch sway by some milliradians."""
        s = self.pace.distance(time_s)
        speed = self.pace.speed(time_s)
        drift = 0.18 * np.sin(0.11 * s + self.phase)
        slope = 0.18 * 0.11 * np.cos(0.11 * s + self.phase)
        yaw = street.yaw(s) + np.arctan(slope)
        sway = min(1.0, speed / 5)
        pitch = 0.004 * sway * np.sin(2.1 * time_s + self.phase)
        roll = 0.003 * sway * np.sin(1.3 * time_s + 2 * self.phase)
        matrix = np.eye(4)
        matrix[:3, :3] = _rotation(yaw, pitch, roll)
        matrix[:2, 3] = street.xy(s, self.t_m + drift)
        return matrix


@dataclass(frozen=True)
class Scene:
    """Everything that sensors may see in one recording."""

    name: str
    vehicle: str
    location: str
    description: str
    street: Street
    scenery: Sequence[tuple[Mesh, Category]]  # in the scene's frame
    actors: Sequence[Actor]
    ego: EgoPath
    light: Light


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return about_z @ about_y @ about_x
