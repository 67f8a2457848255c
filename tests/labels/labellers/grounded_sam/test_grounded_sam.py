import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.records import IGNORE
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.grounded_sam.labeller import GroundedSamLabeller
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import NullTracker
from tests.support.foundation_models import write_sam
from tests.support.image_folder import FINGERPRINT, Folder, FolderFrames

CPU = torch.device("cpu")
FRAMES = FolderFrames(Path())
ENGINES = ("packages", "transformers", "transformers, SAM 2")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (3, 9, 16, 3), dtype=np.uint8)
    sizes = [(160, 90), (160, 90), (120, 80)]
    return [
        np.asarray(Image.fromarray(one).resize(size))
        for one, size in zip(coarse, sizes, strict=True)
    ]


def loaded(settings: GroundedSam) -> GroundedSamLabeller:
    labeller = settings.build(CPU, FRAMES)
    assert isinstance(labeller, GroundedSamLabeller)
    return labeller


@pytest.mark.parametrize("engine", ENGINES)
def test_maps_have_the_images_size_and_known_classes(
    small: dict[str, GroundedSam], engine: str, images: list[np.ndarray]
) -> None:
    for image in images:
        image.setflags(write=False)  # as those from a shared object store

    maps = loaded(small[engine])(images, ["a", "b", "c"])

    assert [ids.shape for ids in maps] == [image.shape[:2] for image in images]
    for ids in maps:
        assert ids.dtype == np.uint8
        assert set(np.unique(ids)) <= {*range(13), IGNORE}
    assert any(len(np.unique(ids)) > 2 for ids in maps)  # random weights find something


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_are_the_same_again_and_with_other_neighbours(
    small: dict[str, GroundedSam], engine: str, images: list[np.ndarray]
) -> None:
    first = loaded(small[engine])(images, ["a", "b", "c"])
    labeller = loaded(small[engine])

    again = labeller(images[::-1], ["c", "b", "a"])[::-1]
    other = labeller([images[0], images[0]], ["a", "a"])

    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(first[0], other[0])


def test_uncovered_pixels_may_be_a_class(
    small: dict[str, GroundedSam], images: list[np.ndarray]
) -> None:
    settings = small["packages"].override({"uncovered": "background"})
    assert settings.class_names == ("background", *small["packages"].class_names)

    ids = loaded(small["packages"])(images[:1], ["a"])[0]
    with_background = loaded(settings)(images[:1], ["a"])[0]

    np.testing.assert_array_equal(with_background == 0, ids == IGNORE)
    np.testing.assert_array_equal(with_background[ids != IGNORE], ids[ids != IGNORE] + 1)


def test_higher_thresholds_leave_fewer_pixels(
    small: dict[str, GroundedSam], images: list[np.ndarray]
) -> None:
    def num_covered(threshold: float) -> int:
        settings = small["packages"].override({"box_threshold": threshold})
        return sum(int((ids != IGNORE).sum()) for ids in loaded(settings)(images, ["", "", ""]))

    assert num_covered(0.25) >= num_covered(0.9) >= num_covered(1.0) == 0


def test_boxes_are_those_that_transformers_keeps(
    small: dict[str, GroundedSam], images: list[np.ndarray]
) -> None:
    """Its rule for a box is ours without a text threshold; names it makes of tokens, we do not."""
    from transformers import AutoTokenizer, GroundingDinoImageProcessor, GroundingDinoProcessor
    from transformers.models.grounding_dino.modeling_grounding_dino import (
        GroundingDinoObjectDetectionOutput,
    )

    from olivine.labels.labellers.grounded_sam.rules import choose
    from olivine.models.foundation.captions import caption_of

    settings = small["transformers"]
    detector = loaded(settings)._detector
    pixels = torch.from_numpy(np.stack(images[:2])).permute(0, 3, 1, 2)
    probabilities, boxes = detector(pixels, 96, 160)
    tokenizer = AutoTokenizer.from_pretrained(settings.detector)
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(), tokenizer)
    ids = tokenizer([caption_of(settings.vocabulary.texts)] * 2, return_tensors="pt")["input_ids"]
    theirs = processor.post_process_grounded_object_detection(
        GroundingDinoObjectDetectionOutput(logits=probabilities.logit(), pred_boxes=boxes),
        ids,
        threshold=0.5,
        text_threshold=0.5,
        target_sizes=[(90, 160)] * 2,
    )
    for index, found in enumerate(theirs):
        ours = choose(
            probabilities[index],
            boxes[index],
            detector.prompt_tokens,
            (90, 160),
            box_threshold=0.5,
            text_threshold=0.0,
        )
        inside = found["boxes"].clamp(min=0).minimum(torch.tensor([160.0, 90, 160, 90]))
        assert 0 < len(inside) == len(ours.boxes_px)
        torch.testing.assert_close(by_corner(ours.boxes_px), by_corner(inside))


def by_corner(boxes: torch.Tensor) -> torch.Tensor:
    return torch.tensor(sorted(boxes.tolist()))


def test_half_precision_runs_through_both_networks(
    models: Path, small: dict[str, GroundedSam], images: list[np.ndarray]
) -> None:
    from olivine.models.foundation.grounding_dino import GroundingDinoDetector, load_grounding_dino
    from olivine.models.foundation.sam import SamSegmenter, load_sam

    model = load_grounding_dino(str(models / "dino.pth"), str(models / "bert"))
    detector = GroundingDinoDetector(model, ("car",), CPU, torch.bfloat16)
    segmenter = SamSegmenter(load_sam(str(models / "sam.pth")), CPU, torch.bfloat16)

    maps = GroundedSamLabeller(small["packages"], detector, segmenter, CPU)(images, ["", "", ""])

    assert {ids.dtype for ids in maps} == {np.dtype(np.uint8)}


def test_identity_is_of_the_weights_and_not_of_their_place(
    models: Path, small: dict[str, GroundedSam], tmp_path: Path
) -> None:
    settings = small["packages"]
    for name in ("sam.pth", "sam.pth.yaml"):
        shutil.copy(models / name, tmp_path / name)
    moved = settings.override({"segmenter": str(tmp_path / "sam.pth")})
    assert moved.identity == settings.identity

    torch.manual_seed(1)
    other = write_sam(tmp_path / "sam.pth")
    state = torch.load(other, weights_only=True)
    torch.save({name: value + 1 for name, value in state.items()}, other)
    assert moved.identity != settings.identity
    assert settings.override({"nms_iou": 0.5}).identity != settings.identity


def test_published_weights_have_an_identity_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIVINE_WEIGHTS", "/nowhere")

    assert GroundedSam().identity == GroundedSam().identity
    assert GroundedSam().identity != GroundedSam(segmenter="sam_vit_b").identity
    with pytest.raises(UserError, match=r"olivine weights fetch groundingdino_swint_ogc"):
        GroundedSam().build(CPU, FRAMES)


def test_a_background_is_not_asked_for_twice() -> None:
    vocabulary = {
        "classes": ["background"],
        "prompts": [{"prompt": "sky", "means": "background"}],
    }
    with pytest.raises(UserError, match="uncovered='background'"):
        GroundedSam.from_dict({"vocabulary": vocabulary, "uncovered": "background"})


def test_folders_of_other_models_are_refused(models: Path, small: dict[str, GroundedSam]) -> None:
    swapped = small["transformers"].override({"detector": str(models / "hf_sam")})
    with pytest.raises(UserError, match="type 'sam'; allowed here are grounding-dino"):
        swapped.build(CPU, FRAMES)
    file = small["transformers"].override({"detector": str(models / "dino.pth")})
    with pytest.raises(UserError, match="not a model's folder"):
        file.build(CPU, FRAMES)


def test_a_wrong_decoder_in_transformers_is_not_used(
    models: Path, small: dict[str, GroundedSam], tmp_path: Path
) -> None:
    folder = tmp_path / "hq"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "sam_hq"}')

    with pytest.raises(UserError, match="engine 'packages' with segmenter=sam_hq_vit_h"):
        small["transformers"].override({"segmenter": str(folder)}).build(CPU, FRAMES)


@pytest.mark.slow
def test_real_photos_go_through_the_whole_stage(
    small: dict[str, GroundedSam], shared_data: Path, tmp_path: Path
) -> None:
    names = ("sam_street_photo", "nuscenes_val_fd842039", "camvid_street")
    photos = [sorted(p for p in (shared_data / name).rglob("*.jpg"))[:2] for name in names]
    data = tmp_path / "data" / "samples"
    data.mkdir(parents=True)
    for photo in [photo for some in photos for photo in some]:
        shutil.copy(photo, data / photo.name)
    runtime = Runtime(data_root=str(tmp_path / "data"), out=str(tmp_path / "out"))

    settings = small["packages"].override({"short_side_px": 160, "max_side_px": 280})
    config = LabelConfig(dataset=Folder(), labeller=settings)
    result = label(config, runtime, NullTracker())

    assert result.num_failed == 0
    assert result.num_labelled == len(list(data.iterdir())) >= 3
    store = LabelStore.open(tmp_path / "out", FINGERPRINT, settings.identity)
    assert store.class_names == settings.class_names
    for photo in data.iterdir():
        with Image.open(photo) as image:
            assert store.read(f"samples/{photo.name}").shape == (image.height, image.width)
