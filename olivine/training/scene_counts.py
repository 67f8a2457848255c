"""Confusion matrices by scene, and the scores that follow from them.

A validation split is a sample of scenes. Frames of one scene show the same street half a second
apart, so only scenes can be resampled to estimate how much a score depends on the sample.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from olivine.core.checksums import DamagedError, read_checked
from olivine.core.errors import UserError
from olivine.core.storage import Store

IOU = "iou/"  # prefix of a class's name


@dataclass(frozen=True)
class SceneCounts:
    """The points of one experiment by scene, true class (rows) and predicted class."""

    scenes: tuple[str, ...]
    counts: Int[np.ndarray, "S K K"]
    class_names: tuple[str, ...]
    absent: str  # treatment of a class without points in the mean: "skip" or "one"

    def to_bytes(self) -> bytes:
        """Return an .npz file: scenes, counts (int64), class_names, absent."""
        stream = io.BytesIO()
        arrays = {
            "scenes": np.array(self.scenes, dtype=str),
            "counts": self.counts.astype(np.int64),
            "class_names": np.array(self.class_names, dtype=str),
            "absent": np.array(self.absent),
        }
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @classmethod
    def read(cls, store: Store, name: str) -> "SceneCounts":
        """Read the file of an evaluation; raise UserError as `read_result_arrays`."""
        arrays = read_result_arrays(store, name)
        return cls(
            tuple(arrays["scenes"].tolist()),
            arrays["counts"],
            tuple(arrays["class_names"].tolist()),
            str(arrays["absent"]),
        )

    def can_score(self, metric: str) -> bool:
        """Return whether a metric follows from the counts: miou, accuracy or iou/<class>."""
        prefix, name = metric[: len(IOU)], metric[len(IOU) :]
        return metric in ("miou", "accuracy") or (prefix == IOU and name in self.class_names)

    def scores(
        self, metrics: Sequence[str], weights: Float[np.ndarray, "B S"]
    ) -> dict[str, Float[np.ndarray, " B"]]:
        """Return metrics in percent for each row of `weights`, which are multiplicities of scenes.

        Counts are summed before any division, as over a whole split (method.md §8.4). A metric
        without points is NaN.
        """
        hits, true, predicted = self._sums(weights)
        with np.errstate(invalid="ignore"):
            iou = hits / (true + predicted - hits)
            accuracy = hits.sum(axis=1) / true.sum(axis=1)
            known = ~np.isnan(iou)
            mean = np.where(known, iou, 0).sum(axis=1) / known.sum(axis=1)
        if self.absent == "one":
            mean = np.where(known, iou, 1).mean(axis=1)
        of_classes = {f"{IOU}{name}": iou[:, i] for i, name in enumerate(self.class_names)}
        found = {"miou": mean, "accuracy": accuracy, **of_classes}
        return {metric: 100 * found[metric] for metric in metrics}

    def _sums(self, weights: Float[np.ndarray, "B S"]) -> tuple[np.ndarray, ...]:
        """Return hits, true points and predicted points by class of every weighted sum."""
        hits = np.diagonal(self.counts, axis1=1, axis2=2)
        parts = np.concatenate([hits, self.counts.sum(axis=2), self.counts.sum(axis=1)], axis=1)
        return tuple(np.split(weights @ parts.astype(float), 3, axis=1))


def read_result_arrays(store: Store, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file in the folder of an evaluation.

    The folder's name, which is the evaluation's fingerprint, takes part in the file's checksum.
    Raises UserError, with the way to make it again, for a file that is damaged.
    """
    where = store.path(name)
    try:
        data = read_checked(store, name, where.split("/")[-2])
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except DamagedError as error:
        problem = str(error)
    except UserError:
        raise
    except Exception:  # a broken archive raises any of several types
        problem = f"{where} is damaged: it is no archive of arrays."
    raise DamagedError(
        f"{problem} Remove that folder's first_frame.npz and run `olivine evaluate` with the same "
        "settings, which makes both again from the last checkpoint."
    )
