"""The use of trained networks: the feature or the class of every point of a scan.

    encoder = PointEncoder(load_backbone("0123456789ab"))   # a run, a file or a folder
    features = encoder(xyz_m, intensity)                    # float32 (points, channels)

Code that was logged with models imports `PointEncoder` and `read_logged_backbone` from here.
"""

from olivine.inference.encoder import PointClassifier, PointEncoder
from olivine.inference.loading import load_backbone, load_segmenter, read_logged_backbone
from olivine.inference.networks import (
    EvaluatedNetwork,
    PretrainedBackbone,
    read_backbone,
    read_segmenter,
)

__all__ = [
    "EvaluatedNetwork",
    "PointClassifier",
    "PointEncoder",
    "PretrainedBackbone",
    "load_backbone",
    "load_segmenter",
    "read_backbone",
    "read_logged_backbone",
    "read_segmenter",
]
