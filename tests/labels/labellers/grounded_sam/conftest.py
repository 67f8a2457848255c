from pathlib import Path

import pytest

from olivine.labels.labellers.grounded_sam import GroundedSam
from tests.support.foundation_models import (
    write_bert,
    write_grounding_dino,
    write_hf_grounding_dino,
    write_hf_sam,
    write_hf_sam2,
    write_sam,
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small models: as the packages' files, and as transformers' folders."""
    folder = tmp_path_factory.mktemp("models")
    write_grounding_dino(folder / "dino.pth", write_bert(folder / "bert"))
    write_sam(folder / "sam.pth")
    write_hf_grounding_dino(folder / "hf_dino")
    write_hf_sam(folder / "hf_sam")
    write_hf_sam2(folder / "hf_sam2")
    return folder


@pytest.fixture(scope="session")
def small(models: Path) -> dict[str, GroundedSam]:
    """Return labellers of every engine."""
    size = {"short_side_px": 96, "max_side_px": 160}
    hf = {"engine": "transformers", "detector": str(models / "hf_dino"), **size}
    packages = {
        "detector": str(models / "dino.pth"),
        "segmenter": str(models / "sam.pth"),
        "text_encoder": str(models / "bert"),
        **size,
    }
    return {
        "packages": GroundedSam.from_dict(packages),
        "transformers": GroundedSam.from_dict({**hf, "segmenter": str(models / "hf_sam")}),
        "transformers, SAM 2": GroundedSam.from_dict({**hf, "segmenter": str(models / "hf_sam2")}),
    }
