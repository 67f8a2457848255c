"""Makes torchvision work beside a torch that its compiled part does not fit.

PyPI's torchvision is compiled for the CUDA build of one torch. Beside a CPU-only torch its compiled
operators cannot be loaded, and then neither it nor the packages that import it (segment-anything,
groundingdino-py, parts of transformers) can be imported. These models need one of the operators,
non-maximum suppression; defining it in torch makes the import work.
"""

import sys

import torch
from torch import Tensor

from olivine.core.errors import UserError

_libraries: list[torch.library.Library] = []  # an operator lives as long as its library


def ensure_torchvision() -> None:
    """Make `import torchvision` work; do nothing if it works already.

    Raises UserError if torchvision is missing, or does not fit a torch with CUDA.
    """
    if _libraries or _works():
        return
    if torch.version.cuda is not None:
        raise UserError(
            f"The installed torchvision was not made for torch {torch.__version__}; install the "
            "two together, from one index, as pytorch.org says."
        )
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):  # for both, torchvision may register a shape rule on import
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    _libraries.append(library)
    import torchvision.extension

    torchvision.extension._has_ops = lambda: True


def _works() -> bool:
    try:
        import torchvision.extension
    except ImportError:
        raise UserError(
            "This image network needs torchvision, which is not installed: `pip install "
            "torchvision`, in the version that was made for your torch."
        ) from None
    except RuntimeError as error:  # some versions fail here, others on first use
        if "torchvision::nms" not in str(error):
            raise
        return False
    return bool(torchvision.extension._has_ops())


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the rows of boxes that no better box overlaps by more than the threshold, best first.

    It is greedy, as torchvision's: a box that was itself dropped drops no other.
    """
    order = scores.argsort(descending=True, stable=True)
    ordered = boxes[order]
    overlaps = (_iou(ordered) > iou_threshold).cpu()  # every row is asked for, one by one
    kept = torch.ones(len(boxes), dtype=torch.bool)
    for row in range(len(boxes)):
        if kept[row]:
            kept[row + 1 :] &= ~overlaps[row, row + 1 :]
    return order[kept.to(order.device)]


def _iou(boxes: Tensor) -> Tensor:
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inner = (high - low).clamp(min=0).prod(dim=-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)
    return inner / (area[:, None] + area[None, :] - inner)
