from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from olivine.core.errors import UserError
from olivine.models.foundation.captions import caption_of, prompt_tokens
from olivine.models.foundation.grounding_dino import (
    GroundingDinoDetector,
    load_grounding_dino,
    prepare,
    working_size,
)
from tests.support.foundation_models import DINO, write_bert, write_grounding_dino

CPU = torch.device("cpu")
PROMPTS = ("car", "traffic cone", "road")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dino")
    write_grounding_dino(folder / "small.pth", write_bert(folder / "bert"))
    return folder


@pytest.fixture(scope="module")
def detector(folder: Path) -> GroundingDinoDetector:
    model = load_grounding_dino(str(folder / "small.pth"), str(folder / "bert"))
    return GroundingDinoDetector(model, PROMPTS, CPU, torch.float32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (3, 9, 16, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((240, 135))) for one in coarse])


def tensor_of(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_a_batch_equals_the_packages_prediction_of_one_image(
    detector: GroundingDinoDetector, images: np.ndarray
) -> None:
    from groundingdino.util.inference import predict

    probabilities, boxes = detector(tensor_of(images), 96, 160)

    for index, pixels in enumerate(prepare(tensor_of(images), 96, 160)):
        theirs, scores, _ = predict(detector.model, pixels, detector.caption, 0.0, 0.25, "cpu")
        torch.testing.assert_close(boxes[index], theirs, atol=1e-4, rtol=1e-4)
        best = probabilities[index].amax(dim=1)
        torch.testing.assert_close(best, scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(900, 1600), (1600, 900), (375, 1242), (64, 64), (700, 701)])
def test_images_get_the_size_that_the_package_gives_them(size: tuple[int, int]) -> None:
    from groundingdino.datasets.transforms import RandomResize

    image = Image.new("RGB", (size[1], size[0]))
    scaled, _ = RandomResize([800], max_size=1333)(image, None)

    assert working_size(size, 800, 1333) == (scaled.height, scaled.width)


def test_images_are_prepared_as_the_package_does(images: np.ndarray) -> None:
    from groundingdino.datasets import transforms

    package = transforms.Compose(
        [
            transforms.RandomResize([96], max_size=160),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    theirs, _ = package(Image.fromarray(images[0]), None)

    ours = prepare(tensor_of(images[:1]), 96, 160)[0]
    one_level = 1 / 255 / 0.224  # the package rounds to whole grey levels, we do not
    assert (ours - theirs).abs().max() < 1.1 * one_level


def test_every_prompt_has_its_own_tokens(detector: GroundingDinoDetector) -> None:
    assert caption_of(PROMPTS) == "car . traffic cone . road ."
    assert detector.prompt_tokens == [[1], [3, 4], [6]]  # [CLS] car . traffic cone . road . [SEP]


def test_a_prompt_of_unknown_words_is_refused(detector: GroundingDinoDetector) -> None:
    with pytest.raises(UserError, match="no word of the prompt 'quux'"):
        prompt_tokens(detector.model.tokenizer, ["car", "quux"])


def test_a_caption_too_long_for_the_model_is_refused(detector: GroundingDinoDetector) -> None:
    with pytest.raises(UserError, match=r"caption of 402 tokens; the model reads 256"):
        prompt_tokens(detector.model.tokenizer, ["car"] * 200)


def test_another_architecture_is_refused(folder: Path, tmp_path: Path) -> None:
    path = write_grounding_dino(tmp_path / "deep.pth", folder / "bert")
    settings = DINO.override({"enc_layers": 2}).to_yaml()
    path.with_name("deep.pth.yaml").write_text(settings)

    with pytest.raises(UserError, match=r"does not hold weights of GroundingDINO .*are missing"):
        load_grounding_dino(str(path), str(folder / "bert"))


def test_code_in_a_checkpoint_is_not_run(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pth"
    torch.save({"model": _Runs(marker)}, path)
    path.with_name("evil.pth.yaml").write_text(DINO.to_yaml())

    with pytest.raises(UserError, match="without running code"):
        load_grounding_dino(str(path), str(folder / "bert"))
    assert not marker.exists()


class _Runs:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.marker,))


def test_a_missing_text_encoder_names_its_mend(folder: Path) -> None:
    with pytest.raises(UserError, match="bert-base-uncased"):
        load_grounding_dino(str(folder / "small.pth"), "bert-base-uncase")
