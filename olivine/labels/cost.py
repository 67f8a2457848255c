"""The progress and the cost of a labelling job so far."""

import time
from collections.abc import Sequence

import numpy as np

from olivine.core.errors import UserError
from olivine.core.progress import cost_text
from olivine.labels.records import ImageResult, Usage

NUM_TRIED = 100  # number of images before the share of failures is checked


class JobCost:
    """Sums over the results so far, because a driver must not keep 200,000 of them.

    `max_failed_share` is the share of failures above which the labeller or the disk counts as
    broken. `gpu_hours_before` is what earlier starts of the same job have used.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        max_failed_share: float = 1.0,
        usd_per_gpu_hour: float = 0.0,
        gpu_hours_before: float = 0.0,
    ):
        self.num_done = 0
        self.failed: dict[str, str] = {}
        self.class_pixels = np.zeros(num_classes + 1, dtype=np.int64)
        self._max_failed_share = max_failed_share
        self._usd_per_gpu_hour = usd_per_gpu_hour
        self._gpu_hours_before = gpu_hours_before
        self._usages: dict[str, Usage] = {}
        self._began_s = time.monotonic()

    @property
    def num_tried(self) -> int:
        """The number of images that were labelled or failed."""
        return self.num_done + len(self.failed)

    @property
    def gpu_hours(self) -> float:
        """The hours for which GPUs, or shares of them, were held."""
        held_s = sum(usage.held_s * usage.num_gpus for usage in self._usages.values())
        return self._gpu_hours_before + held_s / 3600

    def add(self, result: ImageResult) -> None:
        """Count one result; raise UserError if the job should not go on."""
        if result.status == "fatal":
            raise UserError(result.reason)
        if result.usage:
            known = self._usages.get(result.usage.actor)
            if known is None or known.held_s < result.usage.held_s:
                self._usages[result.usage.actor] = result.usage
        if result.status == "failed":
            self.failed[result.image_name] = result.reason
            self._check_share(result)
        else:
            self.num_done += 1
            self.class_pixels += result.class_pixels

    def spent(self) -> str:
        """Return GPU-hours and cost so far as a text; without a GPU it is empty."""
        return cost_text(self.gpu_hours, self._usd_per_gpu_hour) if self.gpu_hours else ""

    def metrics(self) -> dict[str, float]:
        """Return rates and costs for the run's record; before the first image there are none.

        `actor_s_per_image` is the time in the labeller; the share of time that an actor is held
        without labelling (loading, waiting) is 1 - `actor_busy_share`.
        """
        if not (self.num_tried and self._usages):
            return {}
        usages: Sequence[Usage] = tuple(self._usages.values())
        busy_s, held_s = (sum(getattr(u, name) for u in usages) for name in ("busy_s", "held_s"))
        values = {
            "images_per_s": self.num_tried / (time.monotonic() - self._began_s),
            "actor_s_per_image": busy_s / self.num_tried,
            "actor_busy_share": busy_s / held_s,
            "gpus_per_actor": usages[0].num_gpus,
            "gpu_hours": self.gpu_hours,
        }
        if self._usd_per_gpu_hour:
            values["cost_usd"] = self.gpu_hours * self._usd_per_gpu_hour
        return values

    def _check_share(self, last: ImageResult) -> None:
        share = len(self.failed) / self.num_tried
        if self.num_tried < NUM_TRIED or share <= self._max_failed_share:
            return
        raise UserError(
            f"{len(self.failed)} of the first {self.num_tried} images failed, more than the share "
            f"of runtime.max_failed_share={self._max_failed_share:g}: this many mean that the "
            f"labeller or the disk is broken, not an image. The last is {last.image_name}: "
            f"{last.reason.rstrip('.')}. Fix it and take them again with --retry-failed, or allow "
            "more by --set runtime.max_failed_share=1."
        )
