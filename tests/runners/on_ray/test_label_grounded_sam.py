"""Both networks on Ray's actors, from checkpoints in the published formats."""

from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.runners.on_ray.label import label_on_ray
from olivine.tracking.tracker import NullTracker
from tests.support.foundation_models import write_bert, write_grounding_dino, write_sam
from tests.support.image_folder import Folder, files_below, write_images

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]


def test_actors_label_as_one_process_does(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_images(root, 6)
    bert = write_bert(tmp_path / "bert")
    labeller = GroundedSam(
        detector=str(write_grounding_dino(tmp_path / "dino.pth", bert)),
        segmenter=str(write_sam(tmp_path / "sam.pth")),
        text_encoder=str(bert),
        short_side_px=96,
        max_side_px=160,
    )
    config = LabelConfig(dataset=Folder(), labeller=labeller)
    runtime = Runtime(data_root=str(root), out=str(tmp_path / "ray"), label_batch_size=3)

    on_ray = label_on_ray(config, runtime, NullTracker())
    alone = label(config, runtime.override({"out": str(tmp_path / "alone")}), NullTracker())

    assert on_ray.num_labelled == alone.num_labelled == 6
    assert files_below(tmp_path / "ray" / "labels") == files_below(tmp_path / "alone" / "labels")


def test_missing_weights_are_one_sentence_from_the_actors(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_images(root, 3)
    config = LabelConfig(dataset=Folder(), labeller=GroundedSam())
    runtime = Runtime(data_root=str(root), out=str(tmp_path / "ray"))

    with pytest.raises(UserError, match="olivine weights fetch groundingdino_swint_ogc"):
        label_on_ray(config, runtime, NullTracker())
