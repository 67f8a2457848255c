"""Grounded-SAM by the engine `transformers`, at the published sizes, with random weights.

Speed does not depend on the weights. The networks are written as `save_pretrained` leaves them and
read by the labeller itself, and every image goes through the label job's own batching.
"""

from collections.abc import Iterator

from olivine.models.foundation.torchvision_ops import ensure_torchvision
from tools.gpu_check.labelling.memory import memory
from tools.gpu_check.labelling.networks import SEGMENTERS, write_detector, write_segmenter
from tools.gpu_check.labelling.precision import precision
from tools.gpu_check.labelling.rates import Bench, rates
from tools.gpu_check.report import Finding, Setup, failed


def check(setup: Setup) -> Iterator[Finding]:
    """Yield rates beside the bare networks', peaks of memory, batches that do not fit, and errors."""
    ensure_torchvision()
    yield from _guarded("numbers of small networks", precision(setup))
    detector = write_detector(setup.scratch / "detector", setup.device, setup.is_small)
    for kind, name in SEGMENTERS.items():
        yield from _guarded(name, _with_segmenter(setup, detector, kind))


def _with_segmenter(setup: Setup, detector: object, kind: str) -> Iterator[Finding]:
    name = f"small {kind}" if setup.is_small else SEGMENTERS[kind]
    folder = write_segmenter(setup.scratch / kind, kind, setup.device, setup.is_small)
    bench = Bench.load(setup, str(detector), str(folder), name)
    yield from _guarded(f"{name}: rates", rates(bench))
    if kind == "sam":  # the batching is the same for both
        yield from _guarded(f"{name}: memory", memory(bench))


def _guarded(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; an exception is one, and does not stop the others."""
    try:
        yield from findings
    except Exception as error:
        yield failed("labelling", what, f"{type(error).__name__}: {error}".splitlines()[0])
