"""A linear classifier in closed form: ridge regression of one-hot classes on rows of features.

The least-squares problem needs only sums over the rows (Hoerl and Kennard, "Ridge regression",
1970; as a classifier: Hastie et al., "The Elements of Statistical Learning", section 4.2). So a
stream of batches is read once, workers add their sums, and every penalty is solved from one
eigendecomposition. Shapes: V rows, D channels, K classes, P penalties.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.core.collectives import sum_over_workers
from olivine.core.errors import UserError
from olivine.data.records import IGNORE
from olivine.training.segmentation import class_iou, mean_iou

# A variance smaller than this share of the mean square is rounding: the channel is constant.
_ROUNDING = 1e-12


@dataclass
class RowSums:
    """Sums of [row, 1]ᵀ[row, 1] by class, in double precision, from which the regression is solved.

    They are kept by class, so that classes can be weighted when all rows are counted.
    """

    moments: Float[Tensor, "K D1 D1"]  # D1 = D + 1; the last entry of a class counts its rows

    @classmethod
    def empty(cls, num_classes: int, num_channels: int, device: torch.device) -> "RowSums":
        """Return sums over no rows."""
        side = num_channels + 1
        return cls(torch.zeros(num_classes, side, side, dtype=torch.double, device=device))

    def add(self, rows: Float[Tensor, "V D"], class_ids: Int[Tensor, " V"]) -> None:
        """Add rows; those of class IGNORE do not count."""
        known = class_ids != IGNORE
        rows, class_ids = rows[known].double(), class_ids[known]
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
        rows = rows[class_ids.argsort(stable=True)]
        numbers = class_ids.bincount(minlength=len(self.moments)).tolist()
        for moments, members in zip(self.moments, rows.split(numbers), strict=True):
            moments.addmm_(members.T, members)

    def over_workers(self) -> "RowSums":
        """Return the sums of all workers' rows; every worker calls this."""
        return RowSums(sum_over_workers(self.moments))


@dataclass(frozen=True)
class LinearClassifiers:
    """One linear classifier for each of several penalties."""

    weights: Float[Tensor, "P D K"]
    biases: Float[Tensor, "P K"]

    def scores(self, rows: Float[Tensor, "V D"]) -> Float[Tensor, "P V K"]:
        """Return the score of each class; the scores of a row sum to 1."""
        return rows.to(self.weights.dtype) @ self.weights + self.biases[:, None]

    def predict(self, rows: Float[Tensor, "V D"]) -> Int[Tensor, "P V"]:
        """Return the class of each row."""
        return self.scores(rows).argmax(dim=2)


def ridge_classifiers(
    sums: RowSums, penalties: Sequence[float], *, balance: float = 0.0, standardise: bool = True
) -> LinearClassifiers:
    """Return the classifiers that minimise mean w |row W + b - onehot|² + penalty |W|².

    A row of a class with n rows has weight w = n^-balance: with 0 all rows count equally, with 1
    all classes. With `standardise` each channel first gets mean 0 and variance 1, so that a penalty
    means the same for every network; a constant channel is left out. The intercept b is not
    penalised. Raises UserError if no row has a class.
    """
    counts = sums.moments[:, -1, -1]
    present = counts > 0
    if not present.any():
        raise UserError(_no_class("fits on"))
    weights = torch.where(present, counts.clamp(min=1) ** -balance, 0.0)
    weighted = sums.moments * (weights / (weights * counts).sum())[:, None, None]
    total = weighted.sum(0)
    mean, of_class = total[:-1, -1], weighted[:, -1, -1]
    covariance = total[:-1, :-1] - mean.outer(mean)
    towards = weighted[:, :-1, -1].T - mean.outer(of_class)  # (D, K)
    variance = covariance.diagonal()
    varies = variance > _ROUNDING * total.diagonal()[:-1]
    scale = variance.clamp(min=0).rsqrt() if standardise else torch.ones_like(variance)
    scale = torch.where(varies, scale, 0.0)
    values, vectors = torch.linalg.eigh(covariance * scale.outer(scale))
    rotated = vectors.T @ (towards * scale[:, None])
    shrunk = torch.stack(
        [rotated / (values.clamp(min=0) + penalty)[:, None] for penalty in penalties]
    )
    solved = scale[:, None] * (vectors @ shrunk)
    return LinearClassifiers(solved, of_class - mean @ solved)


def best_miou(counts: Int[Tensor, "P K K"]) -> float:
    """Return the best penalty's mIoU in percent, over the classes that occur.

    Raises UserError if there are no counts.
    """
    if not counts.any():
        raise UserError(_no_class("scores"))
    return max(100 * mean_iou(class_iou(matrix), "skip") for matrix in counts)


def _no_class(verb: str) -> str:
    return (
        f"No point of the frames that the probe {verb} has a class: check the data set's point "
        "labels, or raise runtime.probe_frames."
    )
