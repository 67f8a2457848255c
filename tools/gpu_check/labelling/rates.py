"""Images per second of the label job's batching, beside its bare networks on ready tensors."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import PrivateAttr

from benchmarks.labels.grounded_sam import boxes_of, pictures, threshold_for
from olivine.core.devices import autocast
from olivine.data.class_names import NUSCENES
from olivine.data.dataset import Frames
from olivine.labels.batches import BatchLabeller
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.grounded_sam.labeller import GroundedSamLabeller
from olivine.labels.records import LabelledImage, ReadImage
from olivine.models.foundation.grounding_dino import prepare
from olivine.models.foundation.hugging_face import HuggingFaceDetector, HuggingFaceSegmenter
from olivine.testing.frames import InMemoryFrames
from tools.gpu_check.labelling import networks
from tools.gpu_check.report import Finding, Setup, compared, measured
from tools.gpu_check.timing import wait

SIZE, SMALL_SIZE = (900, 1600), (90, 160)  # rows and columns, px
BATCHES, SMALL_BATCHES = (8, 1, 4), (1, 2)  # those that tell most first
NUM_BOXES = 15  # of an image
SECONDS = 1.5  # after which a figure's rounds end


class Loaded(Labeller):
    """A labeller that is loaded already, as the label job takes one."""

    _network: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, network: Any) -> "Loaded":
        """Return the part around a loaded network."""
        part = cls()
        part._network = network
        return part

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, which no batch depends on."""
        return NUSCENES

    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        """Return the loaded network."""
        return self._network


@dataclass(frozen=True)
class Bench:
    """A loaded Grounded-SAM and the images that it is measured on."""

    setup: Setup
    name: str
    labeller: GroundedSamLabeller
    images: list[ReadImage]

    @classmethod
    def make(
        cls, setup: Setup, detector: HuggingFaceDetector, segmenter: HuggingFaceSegmenter, name: str
    ) -> "Bench":
        """Return a bench whose threshold leaves about NUM_BOXES boxes of an image."""
        sides = {"short_side_px": 96, "max_side_px": 160} if setup.is_small else {}
        rules = GroundedSam(engine="transformers", text_threshold=0.0, **sides)
        device = torch.device(setup.device)
        size = SMALL_SIZE if setup.is_small else SIZE
        pixels = alike(max(SMALL_BATCHES if setup.is_small else BATCHES), size)
        images = [ReadImage(f"{index}.jpg", image) for index, image in enumerate(pixels)]
        labeller = GroundedSamLabeller(rules, detector, segmenter, device)
        threshold = threshold_for(labeller, tensor_of(images[:1], device), NUM_BOXES)
        rules = rules.replace(box_threshold=threshold)
        return cls(setup, name, GroundedSamLabeller(rules, detector, segmenter, device), images)

    @property
    def batches(self) -> tuple[int, ...]:
        """The numbers of images at once."""
        return SMALL_BATCHES if self.setup.is_small else BATCHES

    def job(self, size: int, network: Any = None, gpu_share: float = 1.0) -> BatchLabeller:
        """Return the label job's batching around the labeller, or around another network."""
        loaded, device = Loaded.of(network or self.labeller), torch.device(self.setup.device)
        return BatchLabeller(loaded, device, InMemoryFrames(), size, gpu_share=gpu_share)


def load_detector(setup: Setup) -> HuggingFaceDetector:
    """Return the detector, in the labeller's precision."""
    device, texts = torch.device(setup.device), GroundedSam().vocabulary.texts
    model, words = (
        networks.detector(setup.device, setup.is_small),
        networks.tokenizer(setup.scratch),
    )
    return HuggingFaceDetector.around(model, words, texts, device, _precision(device))


def load_segmenter(setup: Setup, kind: str) -> HuggingFaceSegmenter:
    """Return a segmenter, in the labeller's precision."""
    device = torch.device(setup.device)
    model = networks.segmenter(kind, setup.device, setup.is_small)
    return HuggingFaceSegmenter.around(model, device, _precision(device))


def _precision(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else getattr(torch, GroundedSam().precision)


def alike(num_images: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return one picture with other noise on each copy, so that all have about as many boxes."""
    rng = np.random.default_rng(1)
    picture = pictures(1, size)[0].astype(np.int16)
    noise = rng.integers(-2, 3, (num_images, *picture.shape), dtype=np.int16)
    return list((picture + noise).clip(0, 255).astype(np.uint8))


def rates_of(bench: Bench, sizes: Sequence[int]) -> Iterator[Finding]:
    """Yield images per second for each of these sizes of a batch, and the peaks of memory."""
    for size in sizes:
        yield from _rate(bench, size)


def _rate(bench: Bench, size: int) -> Iterator[Finding]:
    device, images, job = bench.setup.device, bench.images[:size], bench.job(size)
    with peak_memory(device) as peak:  # and the first round, which warms up
        maps_of(job(images))
    if job.size != size:
        raise RuntimeError(f"{size} images at once do not fit into the memory")
    ready = Ready.of(bench.labeller, images)
    calls = {
        "ours": lambda: maps_of(job(images)),
        "detect": ready.detect,
        "encode": ready.encode,
        "decode": ready.decode,
    }
    limits = (1, 0.0) if bench.setup.is_small else (2, SECONDS)
    ours_s, detect_s, encode_s, decode_s = seconds_in_turns(calls, device, *limits).values()
    bare_s = detect_s + encode_s + decode_s
    num_boxes = sum(map(len, ready.boxes)) / size
    what = f"{bench.name}, {size} at once, {num_boxes:.1f} boxes an image"
    memory = f"; peak {peak[0]:.1f} GiB" if peak else ""
    yield measured(
        "labelling",
        what,
        f"{size / ours_s:.2f} images/s, {bare_s / ours_s:.2f} of the bare networks' "
        f"{size / bare_s:.2f} (ms an image: boxes {1e3 * detect_s / size:.0f}, features "
        f"{1e3 * encode_s / size:.0f}, masks {1e3 * decode_s / size:.0f}){memory}",
        images_per_s=size / ours_s,
        bare_images_per_s=size / bare_s,
        ratio=bare_s / ours_s,
        images_at_once=size,
        boxes_per_image=num_boxes,
        detect_ms=1e3 * detect_s / size,
        encode_ms=1e3 * encode_s / size,
        decode_ms=1e3 * decode_s / size,
        peak_gib=peak[0] if peak else None,
    )
    bad = sum(int((~torch.isfinite(masks)).sum()) for masks in ready.decode())
    yield compared("labelling", f"{what}: mask logits that are not finite", bad, 0)


@dataclass(frozen=True)
class Ready:
    """Both networks alone, on ready tensors and ready boxes."""

    labeller: GroundedSamLabeller
    scaled: torch.Tensor  # as the detector takes images
    squares: torch.Tensor  # as the segmenter takes them
    boxes: list[torch.Tensor]
    encoded: list[Any]
    size_px: tuple[int, int]

    @classmethod
    def of(cls, labeller: GroundedSamLabeller, images: list[ReadImage]) -> "Ready":
        """Return the networks of a labeller with what these images give them."""
        rules, segmenter = labeller._rules, labeller._segmenter
        pixels = tensor_of(images, labeller._device)
        scaled = prepare(pixels, rules.short_side_px, rules.max_side_px)
        boxes, encoded = boxes_of(labeller, pixels), segmenter.encode(pixels)
        size_px = (pixels.shape[2], pixels.shape[3])
        return cls(labeller, scaled, segmenter.prepare(pixels), boxes, encoded, size_px)

    def detect(self) -> Any:
        """Run the detector."""
        detector: Any = self.labeller._detector
        text = {name: value.expand(len(self.scaled), -1) for name, value in detector._text.items()}
        with torch.inference_mode(), autocast(detector._device, detector._dtype):
            return detector.model(pixel_values=self.scaled, **text)

    def encode(self) -> Any:
        """Run the segmenter's image network."""
        segmenter: Any = self.labeller._segmenter
        with torch.inference_mode(), autocast(segmenter._device, segmenter._dtype):
            return segmenter.model.get_image_embeddings(self.squares)

    def decode(self) -> list[torch.Tensor]:
        """Run the segmenter's mask network, all boxes of an image together."""
        segmenter = self.labeller._segmenter
        return [
            segmenter.decode(one, some, self.size_px)
            for one, some in zip(self.encoded, self.boxes, strict=True)
        ]


def tensor_of(images: list[ReadImage], device: torch.device) -> torch.Tensor:
    """Return images as (images, 3, rows, columns) on a device."""
    return torch.from_numpy(np.stack([one.pixels for one in images])).permute(0, 3, 1, 2).to(device)


def seconds_in_turns(
    calls: Mapping[str, Callable[[], object]], device: str, least: int, in_all_s: float
) -> dict[str, float]:
    """Return the median of each call's rounds: `least` to six, until all together took `in_all_s`.

    One more comes before them, to warm up.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    ended_s = time.perf_counter() + in_all_s
    for number in range(7):
        for name, call in calls.items():
            wait(device)
            began_s = time.perf_counter()
            call()
            wait(device)
            spent[name].append(time.perf_counter() - began_s)
        if number >= least and time.perf_counter() >= ended_s:
            break
    return {name: statistics.median(seconds[1:]) for name, seconds in spent.items()}


class peak_memory:  # noqa: N801 # used as a function
    """Gives a list that then holds the block's peak of allocated memory (GiB); none on a CPU."""

    def __init__(self, device: str):
        self._is_gpu = device.startswith("cuda")
        self._peak: list[float] = []

    def __enter__(self) -> list[float]:
        if self._is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        return self._peak

    def __exit__(self, *_: object) -> None:
        if self._is_gpu:
            self._peak.append(torch.cuda.max_memory_allocated() / 2**30)


def maps_of(labelled: list[Any]) -> list[np.ndarray]:
    """Return the maps; raise RuntimeError with its reason if an image has none."""
    for one in labelled:
        if not isinstance(one, LabelledImage):
            raise RuntimeError(f"{one.name}: {one.reason}")
    return [one.ids for one in labelled]
