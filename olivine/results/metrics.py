"""What a metric is called, its unit, and which way is better: the one place that says so.

A metric's name in the run store ends with its unit ("pretrain/step_s") or is one of the few below.
"""

from dataclasses import dataclass

from olivine.results.words import class_words

# The ends of names that are units, and how a unit is written. Less is better of all but a share.
_UNITS = {
    "_hours": "h", "_ms": "ms", "_s": "s", "_gb": "GB", "_mb": "MB", "_usd": "USD",
    "_percent": "%",
}  # fmt: skip
_LOWER_UNITS = ("h", "ms", "s", "GB", "MB", "USD")
# Words in the last part of a name that say that less is better; all other metrics are scores.
_LOWER_WORDS = {"loss", "error", "entropy", "lovasz", "cost", "hours", "memory", "mce"}
_NAMED = {
    "miou": ("mIoU", "%"),
    "accuracy": ("accuracy", "%"),
    "probe_miou": ("probe mIoU", "%"),
    "best_probe_miou": ("best probe mIoU", "%"),
    "cross_entropy": ("cross-entropy", ""),
    "hours": ("device time", "h"),
    "device_hours": ("device time", "h"),
    "gpu_hours": ("GPU time", "h"),
    "wall_s": ("wall-clock time", "s"),
    "step_s": ("time per step", "s"),
    "peak_memory_gb": ("peak memory", "GB"),
    "peak_gpu_memory_gb": ("peak GPU memory", "GB"),
}
_IOU = "iou"  # before a class's name
PERCENTAGE_POINTS = "pp"


@dataclass(frozen=True)
class MetricLabel:
    """What people read instead of a metric's name."""

    text: str
    unit: str  # empty: a number without one

    @property
    def header(self) -> str:
        """The text with the unit in brackets, as a table's header and a figure's axis have it."""
        return f"{self.text} ({self.unit})" if self.unit else self.text

    @property
    def unit_of_difference(self) -> str:
        """The unit of a difference of two values: of percentages it is percentage points."""
        return PERCENTAGE_POINTS if self.unit == "%" else self.unit


def metric_label(name: str) -> MetricLabel:
    """Return how a metric of the run store is written; an unknown one keeps its name.

    The stage that measured a metric stands before it: "pretrain: time per step (s)".
    """
    stage, _, last = name.rpartition("/")
    if stage == _IOU:
        return MetricLabel(f"IoU of {class_words(last)}", "%")
    text, unit = _NAMED.get(last) or _by_its_end(last)
    if not unit and last not in _NAMED:
        return MetricLabel(name, "")
    return MetricLabel(f"{stage}: {text}" if stage else text, unit)


def prefers_lower(name: str) -> bool:
    """Say whether the smaller value of a metric is the better one."""
    last = name.rpartition("/")[2].lower()
    if _LOWER_WORDS & set(last.split("_")):
        return True
    return _by_its_end(last)[1] in _LOWER_UNITS


def _by_its_end(name: str) -> tuple[str, str]:
    end = next((end for end in _UNITS if name.endswith(end)), None)
    if end is None or "_per_" in name:
        return name, ""
    return name.removesuffix(end).replace("_", " "), _UNITS[end]
