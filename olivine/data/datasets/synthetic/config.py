"""The size and the detail of a synthetic world, and the seed of its randomness."""

import hashlib

import numpy as np
from pydantic import Field

from olivine.core.hashing import text_hash
from olivine.core.spec import Spec

# The official names of v1.0-mini: only with all ten does nuscenes-devkit's evaluation run. The
# first ones alternate between mini_train and mini_val, so that a smaller world has both.
SCENE_NAMES = (
    "scene-0061",
    "scene-0103",
    "scene-0553",
    "scene-0916",
    "scene-0655",
    "scene-0757",
    "scene-0796",
    "scene-1077",
    "scene-1094",
    "scene-1100",
)


class WorldConfig(Spec):
    """The world is a function of these values; the defaults are the demo's."""

    seed: int = Field(default=0, ge=0, description="Seed of the world's random numbers.")
    num_scenes: int = Field(
        default=10,
        ge=1,
        le=len(SCENE_NAMES),
        description="Number of scenes; nuscenes-devkit's evaluation needs all 10.",
    )
    keyframes_per_scene: int = Field(
        default=6, ge=1, le=40, description="Number of keyframes per scene, two per second."
    )
    image_width_px: int = Field(
        default=400,
        ge=64,
        le=1600,
        multiple_of=16,
        description="Width of an image (px); nuScenes has 1600.",
    )
    num_firings: int = Field(
        default=360,
        ge=40,
        le=1088,
        description="Number of azimuths in a scan; nuScenes has about 1084.",
    )
    traffic: float = Field(
        default=1.0,
        ge=0.0,
        le=3.0,
        description="Amount of traffic relative to the demo's; 0 means none.",
    )
    jpeg_quality: int = Field(
        default=90, ge=50, le=95, description="Quality of the JPEG images, as Pillow counts it."
    )

    @property
    def image_height_px(self) -> int:
        """Rows of an image, 9/16 of its columns as nuscenes-devkit's renderers require."""
        return self.image_width_px * 9 // 16

    @property
    def scene_names(self) -> tuple[str, ...]:
        """Official names of the scenes, sorted as in the scene table."""
        return tuple(sorted(SCENE_NAMES[: self.num_scenes]))


def seeded_generator(seed: int, *names: object) -> np.random.Generator:
    """Return the random stream of one purpose, e.g. (seed, scene, "camera noise", 3, "CAM_BACK").

    Streams are independent of each other and of the order of calls, so the world is the same for
    any number of processes.
    """
    text = "/".join(str(name) for name in (seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def token(*names: object) -> str:
    """Return 32 hex digits of these names, in the form of nuScenes' tokens."""
    return text_hash("/".join(str(name) for name in names), 32)
