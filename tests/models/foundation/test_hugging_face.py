from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from olivine.core.errors import UserError
from olivine.models.foundation.hugging_face import HuggingFaceSegmenter
from tests.support.foundation_models import write_hf_sam, write_hf_sam2

CPU = torch.device("cpu")
SIZE = (90, 160)
BOXES = torch.tensor([[5.0, 10, 150, 80], [40, 3, 60, 30], [0, 0, 160, 90]])


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HuggingFaceSegmenter]:
    folder = tmp_path_factory.mktemp("hf")
    return {
        "sam": HuggingFaceSegmenter(str(write_hf_sam(folder / "sam")), CPU, torch.float32),
        "sam2": HuggingFaceSegmenter(str(write_hf_sam2(folder / "sam2")), CPU, torch.float32),
    }


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((160, 90), Image.Resampling.BICUBIC))


def tensor_of(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None]


def test_sam_sees_what_its_processor_gives_it(
    segmenters: dict[str, HuggingFaceSegmenter], image: np.ndarray
) -> None:
    from transformers import SamImageProcessor

    processor = SamImageProcessor(
        size={"longest_edge": 256}, pad_size={"height": 256, "width": 256}
    )
    theirs = processor(image, return_tensors="pt")

    ours = segmenters["sam"].prepare(tensor_of(image))

    assert tuple(theirs["reshaped_input_sizes"][0].tolist()) == (144, 256)
    one_level = 1 / 57  # the processor rounds to whole grey levels, we do not
    assert (ours - theirs["pixel_values"]).abs().max() < 1.5 * one_level


def test_sam_masks_are_restored_as_its_processor_does(
    segmenters: dict[str, HuggingFaceSegmenter], image: np.ndarray
) -> None:
    from transformers import SamImageProcessor

    segmenter = segmenters["sam"]
    low = segmenter.decode(segmenter.encode(tensor_of(image))[0], BOXES, SIZE)
    processor = SamImageProcessor(pad_size={"height": 256, "width": 256})
    theirs = processor.post_process_masks([low[:, None]], [SIZE], [(144, 256)], binarize=False)

    torch.testing.assert_close(segmenter.restore(low, SIZE), theirs[0][:, 0])


def test_sam2_sees_and_restores_what_its_processor_does(
    segmenters: dict[str, HuggingFaceSegmenter], image: np.ndarray
) -> None:
    from transformers import Sam2ImageProcessorFast

    segmenter = segmenters["sam2"]
    processor = Sam2ImageProcessorFast(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )
    theirs = processor(image, return_tensors="pt")["pixel_values"]
    ours = segmenter.prepare(tensor_of(image))
    one_level = 1 / 255 / 0.224
    assert (ours - theirs).abs().max() < 1.5 * one_level

    low = segmenter.decode(segmenter.encode(tensor_of(image))[0], BOXES, SIZE)
    restored = processor.post_process_masks([low[:, None]], [SIZE], binarize=False)
    torch.testing.assert_close(segmenter.restore(low, SIZE), restored[0][:, 0])


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_all_boxes_at_once_equal_one_box(
    segmenters: dict[str, HuggingFaceSegmenter], image: np.ndarray, kind: str
) -> None:
    segmenter = segmenters[kind]
    encoded = segmenter.encode(torch.cat([tensor_of(image), tensor_of(image[::-1])]))[0]

    together = segmenter.decode(encoded, BOXES, SIZE)
    alone = torch.cat([segmenter.decode(encoded, box[None], SIZE) for box in BOXES])

    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    nothing = segmenter.decode(encoded, torch.zeros((0, 4)), SIZE)
    assert segmenter.restore(nothing, SIZE).shape == (0, *SIZE)


def test_a_folder_without_its_weights_is_refused(tmp_path: Path) -> None:
    folder = write_hf_sam(tmp_path / "sam")
    (folder / "model.safetensors").unlink()

    with pytest.raises(UserError, match="Cannot load"):
        HuggingFaceSegmenter(str(folder), CPU, torch.float32)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = write_hf_sam(tmp_path / "sam")
    config = folder / "config.json"
    config.write_text(
        config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )

    with pytest.raises(UserError, match=r"does not hold the weights .* missing"):
        HuggingFaceSegmenter(str(folder), CPU, torch.float32)
