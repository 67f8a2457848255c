"""SAM's automatic masks as segments without names, for methods that pool by superpixels.

Masks are made for the points of a regular grid, and poor and double ones are dropped (Kirillov et
al., ICCV 2023, section 5 "automatic mask generation"). They are painted from large to small, as in
Seal's label generator (method.md §7.1), so that a small object shows on a large one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from olivine.core.devices import autocast
from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.models.weights import WeightsName, weights_identity

if TYPE_CHECKING:
    import torch


class SamSegments(Labeller):
    """Segments photographs with SAM; pixels under no mask belong to no segment."""

    kind: ClassVar[str] = "sam_segments"
    makes: ClassVar[Literal["classes", "segments"]] = "segments"
    places: ClassVar[frozenset[str]] = frozenset({"segmenter"})
    segmenter: WeightsName = Field(
        default="sam_vit_h",
        description="SAM's weights: a published name (see `olivine weights list`) or a file.",
    )
    points_per_side: int = Field(
        default=32,
        ge=1,
        description="Number of points along each side of the grid that masks are asked for.",
    )
    points_at_once: int = Field(
        default=64, ge=1, description="Number of points decoded together, which bounds the memory."
    )
    min_mask_quality: float = Field(
        default=0.88, ge=0, le=1, description="Smallest IoU of a mask as SAM itself predicts it."
    )
    min_stability: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Smallest IoU between a mask cut at a higher and at a lower threshold.",
    )
    nms_iou: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="IoU with a better mask's box above which a mask is dropped.",
    )
    max_segments: int = Field(
        default=IGNORE,
        ge=1,
        le=IGNORE,
        description="Largest number of segments per image; the largest are kept.",
    )
    precision: Literal["float16", "bfloat16", "float32"] = Field(
        default="float16",
        description="Number format of products on a GPU; a CPU always computes in float32.",
    )

    @property
    def identity(self) -> str:
        """A hash of settings, version and weights, whatever the path of the weights."""
        return self.identity_of(weights_identity(self.segmenter))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Segments have no names."""
        return ()

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the loaded labeller; raise UserError for a missing package or weights."""
        import torch

        from olivine.models.foundation.sam import load_sam

        model = load_sam(self.segmenter)
        if hasattr(model.mask_decoder, "from_image_encoder"):
            raise UserError(
                f"segmenter={self.segmenter!r}: SAM-HQ makes no three masks per point, which "
                "automatic masks choose from; use sam_vit_h, sam_vit_l or sam_vit_b."
            )
        from segment_anything import SamAutomaticMaskGenerator

        generator = SamAutomaticMaskGenerator(
            model.to(device),
            points_per_side=self.points_per_side,
            points_per_batch=self.points_at_once,
            pred_iou_thresh=self.min_mask_quality,
            stability_score_thresh=self.min_stability,
            box_nms_thresh=self.nms_iou,
        )
        dtype = torch.float32 if device.type == "cpu" else getattr(torch, self.precision)
        return _SamSegmenter(generator, self.max_segments, device, dtype)


class _SamSegmenter:
    def __init__(
        self, generator: Any, max_segments: int, device: "torch.device", dtype: "torch.dtype"
    ):
        self._generator, self._max_segments = generator, max_segments
        self._device, self._dtype = device, dtype

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        import torch

        with (
            torch.inference_mode(),
            autocast(self._device, self._dtype),
        ):
            # A copy, because arrays that come from a shared object store cannot be written.
            return [self._segment(image.copy()) for image in images]

    def _segment(self, image: np.ndarray) -> np.ndarray:
        masks = [mask["segmentation"] for mask in self._generator.generate(image)]
        return paint_segments(masks, (image.shape[0], image.shape[1]), self._max_segments)


def paint_segments(
    masks: Sequence[np.ndarray], size_px: tuple[int, int], max_segments: int
) -> UInt8[np.ndarray, "rows columns"]:
    """Return segment ids from 0, smaller masks painted over larger ones; IGNORE elsewhere."""
    ids = np.full(size_px, IGNORE, dtype=np.uint8)
    by_area = sorted(masks, key=lambda mask: -int(mask.sum()))[:max_segments]
    for index, mask in enumerate(by_area):
        ids[mask] = index
    return ids
