"""Grounded-SAM by the engine `transformers`, at the published sizes, with random weights.

Speed does not depend on the weights. Small networks are written as `save_pretrained` leaves them,
and read as the labeller reads them; those of the published sizes are made on the device, which
saves writing gigabytes. Every image goes through the label job's own batching.
"""

from collections.abc import Iterator

from olivine.models.foundation.hugging_face import HuggingFaceDetector
from olivine.models.foundation.torchvision_ops import ensure_torchvision
from tools.gpu_check.labelling.memory import short_memory
from tools.gpu_check.labelling.networks import SEGMENTERS
from tools.gpu_check.labelling.precision import errors
from tools.gpu_check.labelling.rates import Bench, load_detector, load_segmenter, rates_of
from tools.gpu_check.report import Finding, Setup, failed, no_time

LAST_S = {"sam": 25.0, "sam2": 5.0}  # which must be left for a last size and what follows it


def check(setup: Setup) -> Iterator[Finding]:
    """Yield errors, rates beside the bare networks', and batches that do not fit.

    What decides comes first: the sizes that tell less are measured when all else is.
    """
    ensure_torchvision()
    yield from _guarded("numbers of small networks", errors(setup))
    detector = load_detector(setup)
    for kind, published in SEGMENTERS.items():
        name = f"small {kind}" if setup.is_small else published
        yield from _guarded(name, _with_segmenter(setup, detector, kind, name))


def _with_segmenter(
    setup: Setup, detector: HuggingFaceDetector, kind: str, name: str
) -> Iterator[Finding]:
    bench = Bench.make(setup, detector, load_segmenter(setup, kind), name)
    *decisive, last = bench.batches
    yield from _guarded(f"{name}: rates", rates_of(bench, decisive))
    if kind == "sam":  # the batching is the same for both
        yield from _guarded(f"{name}: memory", short_memory(bench))
    if setup.has_s(LAST_S[kind]):
        yield from _guarded(f"{name}: rates", rates_of(bench, [last]))
    else:
        yield no_time("labelling", f"{name}, {last} at once")


def _guarded(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; an exception is one, and does not stop the others."""
    try:
        yield from findings
    except Exception as error:
        yield failed("labelling", what, f"{type(error).__name__}: {error}".splitlines()[0])
