"""The part on Grounded-SAM: it passes on small networks, and sees what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from olivine.models.foundation import hugging_face
from tests.support.gpu import needs_gpu
from tools.gpu_check.labelling import check, rates
from tools.gpu_check.labelling.memory import short_memory
from tools.gpu_check.labelling.precision import errors
from tools.gpu_check.report import FAILED, PASSED, Finding, Setup

FORMATS = ("float32", "float16", "bfloat16")


def small(folder: Path, device: str = "cpu") -> Setup:
    return Setup(device, True, (), folder)


def failures(findings: Any) -> list[str]:
    return [one.what for one in findings if one.verdict == FAILED]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    return list(check(small(tmp_path_factory.mktemp("scratch"))))


def test_small_networks_pass_on_a_cpu(findings: list[Finding]) -> None:
    assert failures(findings) == []
    compared = [one.what for one in findings if one.verdict == PASSED]
    for network, outputs in (
        ("GroundingDINO", ("features of the image", "features of the text")),
        ("sam", ("features", "masks")),
        ("sam2", ("features", "masks")),
    ):
        for number_format in FORMATS:
            for output in outputs:
                assert f"small {network} in {number_format}: {output}" in compared


def test_rates_are_those_of_about_the_wanted_boxes(findings: list[Finding]) -> None:
    measured = [one.numbers for one in findings if "images_per_s" in one.numbers]

    assert [one["images_at_once"] for one in measured] == 2 * list(rates.SMALL_BATCHES)
    for one in measured:
        assert 0.7 * rates.NUM_BOXES < one["boxes_per_image"] < 1.5 * rates.NUM_BOXES
        assert one["ratio"] == pytest.approx(one["images_per_s"] / one["bare_images_per_s"])


def test_a_batch_that_does_not_fit_is_seen_to_be_halved(findings: list[Finding]) -> None:
    halved = [one for one in findings if "do not fit" in one.what]

    assert [one.verdict for one in halved] == [PASSED]
    most = max(rates.SMALL_BATCHES)
    assert halved[0].numbers["size"] == most // 2
    assert halved[0].numbers["differing_pixels"] == 0


def test_a_wrong_encoder_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = hugging_face.HuggingFaceSegmenter.prepare

    def a_little_wrong(self: Any, images: torch.Tensor) -> torch.Tensor:
        found = right(self, images)
        # Only ours: the reference's images, which it makes itself, are of a network in float64.
        return found if next(self.model.parameters()).dtype == torch.float64 else 1.01 * found

    monkeypatch.setattr(hugging_face.HuggingFaceSegmenter, "prepare", a_little_wrong)

    wrong = failures(errors(small(tmp_path)))

    assert "small sam in float32: features" in wrong
    assert "small sam2 in float32: masks" in wrong
    assert not any("GroundingDINO" in what for what in wrong)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> rates.Bench:
    folder = tmp_path_factory.mktemp("bench")
    setup = small(folder)
    detector, segmenter = rates.load_detector(setup), rates.load_segmenter(setup, "sam")
    return rates.Bench.make(setup, detector, segmenter, "sam")


def other_maps(labelled: list[Any]) -> list[Any]:
    """Return maps that are different at every call."""
    other_maps.calls = getattr(other_maps, "calls", 0) + 1  # type: ignore[attr-defined]
    return [one.ids + other_maps.calls for one in labelled]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "broken",
    [
        ("olivine.labels.batches.out_of_memory", lambda error: False),  # never halved
        ("tools.gpu_check.labelling.memory.maps_of", other_maps),
    ],
)
def test_a_batch_that_is_not_halved_or_gets_other_maps_is_seen(
    bench: rates.Bench, monkeypatch: pytest.MonkeyPatch, broken: tuple[str, Callable[..., Any]]
) -> None:
    monkeypatch.setattr(*broken)

    assert [what for what in failures(short_memory(bench)) if "do not fit" in what]


def test_one_network_that_cannot_be_made_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_sam(setup: Setup, kind: str) -> Any:
        if kind == "sam":
            raise ImportError("no SAM here")
        return rates.load_segmenter(setup, kind)

    monkeypatch.setattr("tools.gpu_check.labelling.load_segmenter", no_sam)
    monkeypatch.setattr("tools.gpu_check.labelling.errors", lambda setup: iter(()))
    monkeypatch.setattr(rates, "SMALL_BATCHES", (1,))

    found = list(check(small(tmp_path)))

    assert [(one.what, one.figure) for one in found if one.verdict == FAILED] == [
        ("small sam", "ImportError: no SAM here")
    ]
    assert any(one.what.startswith("small sam2, 1 at once") for one in found)


@pytest.mark.gpu
@needs_gpu
def test_small_networks_pass_on_a_gpu(tmp_path: Path) -> None:
    assert failures(check(small(tmp_path, "cuda"))) == []
