"""What stands in for nuScenes and for published weights where the pages' commands are run.

    python -m tests.support.stand_ins FOLDER

writes a small synthetic world, random weights in the published file formats, and `small.yaml`: the
recipe `olivine_1_percent` on them, with networks and pictures small enough for a processor.
"""

import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import write_world
from olivine.experiments.recipes import recipe
from olivine.models.foundation.resnet import ResNet50
from tests.support.foundation_models import write_bert, write_grounding_dino, write_sam
from tests.support.small import SMALL

TEACHER = "moco_v2_800ep_pretrain.pth.tar"  # as its authors call it


def write_stand_ins(folder: Path) -> None:
    """Write the world, the weights and the settings below a folder."""
    root, bert = folder / "nuscenes", folder / "bert"
    write_world(
        WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120), root, 2,
        lambda done, total: None,
    )  # fmt: skip
    labels = {
        "detector": str(write_grounding_dino(folder / "dino.pth", write_bert(bert))),
        "segmenter": str(write_sam(folder / "sam.pth")),
        "text_encoder": str(bert),
        "short_side_px": 96,
        "max_side_px": 160,
    }
    write_moco(folder / TEACHER)
    runtime = {
        "data_root": str(root),
        "out": str(folder / "runs"),
        "num_label_actors": 2,
        "allow": ["fewer_pairs", "absent_classes"],  # random weights see what is not there
    }
    tree = small_recipe(labels, str(folder / TEACHER)).to_dict()
    (folder / "small.yaml").write_text(yaml.safe_dump({**tree, "runtime": runtime}))


def small_recipe(labels: dict[str, Any], teacher: str) -> Any:
    """Return the recipe `olivine_1_percent` made small; `labels` are settings of its labeller."""
    changes: dict[str, Any] = {
        **SMALL,
        "num_epochs": 1,
        "batch_frames": 4,
        "train.scene_step": 2,  # of six scenes a hundredth is none
        "pretrained.num_epochs": 1,
        "pretrained.teacher.weights": teacher,
        "pretrained.teacher.dilated": False,
        "pretrained.backbone.planes": [8, 8, 16, 16, 16, 16, 8, 8],
        "pretrained.backbone.blocks": [1] * 8,
    }
    for place in ("pretrained.data", "train", "val"):
        changes[f"{place}.version"] = "v1.0-mini"
    changes |= {f"pretrained.labels.{name}": value for name, value in labels.items()}
    return recipe("olivine_1_percent").override(changes)


def write_moco(path: Path) -> None:
    """Write a ResNet-50 as MoCo's checkpoints are: names begin with the query encoder's."""
    torch.manual_seed(0)
    state = ResNet50(dilated=False).network.state_dict()
    names = {f"module.encoder_q.{name}": value for name, value in state.items()}
    torch.save({"state_dict": names}, path)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    write_stand_ins(place)
