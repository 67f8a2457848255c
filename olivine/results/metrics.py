"""The displayed name, the unit and the better direction of every metric.

A metric's name in the run store ends with its unit ("pretrain/step_s") or is one of the few below.
"""

from dataclasses import dataclass

from olivine.results.words import class_words

# Units by the ends of names, and how they are written. Lower is better for all but a share.
_UNITS = {
    "_hours": "h", "_ms": "ms", "_s": "s", "_gb": "GB", "_mb": "MB", "_usd": "USD",
    "_percent": "%",
}  # fmt: skip
_LOWER_UNITS = ("h", "ms", "s", "GB", "MB", "USD")
# If the last part of a name has one of these words, lower is better; all other metrics are scores.
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
    """The displayed name and the unit of a metric."""

    text: str
    unit: str  # empty: no unit

    @property
    def header(self) -> str:
        """The text with the unit in brackets, for the header of a table or the axis of a figure."""
        return f"{self.text} ({self.unit})" if self.unit else self.text

    @property
    def unit_of_difference(self) -> str:
        """The unit of a difference of two values, which is percentage points for percentages."""
        return PERCENTAGE_POINTS if self.unit == "%" else self.unit


def metric_label(name: str) -> MetricLabel:
    """Return the label of a metric of the run store; an unknown one keeps its name.

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
    """Return whether lower values of a metric are better."""
    last = name.rpartition("/")[2].lower()
    if _LOWER_WORDS & set(last.split("_")):
        return True
    return _by_its_end(last)[1] in _LOWER_UNITS


def _by_its_end(name: str) -> tuple[str, str]:
    end = next((end for end in _UNITS if name.endswith(end)), None)
    if end is None or "_per_" in name:
        return name, ""
    return name.removesuffix(end).replace("_", " "), _UNITS[end]
