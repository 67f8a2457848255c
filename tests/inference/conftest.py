"""Finished networks, and scans for them."""

from pathlib import Path

import pytest
import torch

from olivine.data.dataset import Frames
from olivine.data.datasets.semantic_kitti import classes as kitti_classes
from olivine.experiments.recipes import demo_random, on_semantic_kitti
from olivine.inference import (
    EvaluatedNetwork,
    PretrainedBackbone,
    load_backbone,
    load_segmenter,
)
from olivine.training.pretrained_networks import build_model
from olivine.training.segmenter import Segmenter
from tests.support.run_stores.finished_runs import SMALL, Finished


@pytest.fixture(scope="module")
def backbone(finished: Finished) -> PretrainedBackbone:
    return load_backbone(finished.pretrained(), out=finished.out)


@pytest.fixture(scope="module")
def network(finished: Finished) -> EvaluatedNetwork:
    return load_segmenter(finished.probe.key.fingerprint, out=finished.out)


@pytest.fixture(scope="module")
def val(finished: Finished) -> Frames:
    runtime = finished.runtime
    return finished.probe_config.val.open(runtime.data_path(), runtime.cache_path())


@pytest.fixture(scope="module")
def scan_files(tiny_world: Path) -> list[Path]:
    return sorted(tiny_world.glob("samples/LIDAR_TOP/*.pcd.bin"))[:3]


@pytest.fixture(scope="module")
def kitti_network() -> EvaluatedNetwork:
    """A network for SemanticKITTI's classes, as it is initialised."""
    small = {name: value for name, value in SMALL.items() if name.startswith("pretrained.")}
    config = on_semantic_kitti(demo_random()).override(small)
    backbone, num_channels = build_model(config.pretrained, 1).backbone, 8
    torch.manual_seed(0)
    head = Segmenter(backbone, num_channels, len(kitti_classes.CLASS_NAMES), frozen=True)
    return EvaluatedNetwork(head.eval(), config, kitti_classes.CLASS_NAMES)
