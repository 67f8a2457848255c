"""Counts of the pairs per class and per sampler, and checks that a method gets what it needs.

If the data cannot give the pairs or classes that a method needs, a run ends with a UserError
instead of training on something else; with `runtime.allow` it goes on from its checkpoint.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor, nn

from olivine.core.collectives import is_first_worker, sum_over_workers
from olivine.core.errors import UserError
from olivine.data.records import IGNORE

FEWER_PAIRS, ABSENT_CLASSES = "fewer_pairs", "absent_classes"


class ClassCounter(nn.Module):
    """Counts the pairs of each class until the first epoch ends, without waiting for the device.

    The counts are in checkpoints, so a resumed run has them.
    """

    num_pairs: Tensor
    is_closed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("num_pairs", torch.zeros(IGNORE + 1, dtype=torch.double))
        self.register_buffer("is_closed", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def add(self, class_ids: Int[Tensor, " M"]) -> None:
        """Add this worker's pairs of one batch."""
        ones = torch.ones(len(class_ids), device=class_ids.device, dtype=torch.double)
        self.num_pairs.index_add_(0, class_ids, ones * ~self.is_closed)

    @torch.no_grad()
    def close(self) -> None:
        """End the count and sum it over all workers, which must all call this.

        A second call does nothing.
        """
        if not self.is_closed:
            self.num_pairs.copy_(sum_over_workers(self.num_pairs))
            self.is_closed.fill_(True)

    @torch.no_grad()
    def gather(self) -> None:
        """Move all counts to the first worker, whose state is saved; every worker calls this."""
        if not self.is_closed:
            total = sum_over_workers(self.num_pairs)
            self.num_pairs.copy_(total if is_first_worker() else torch.zeros_like(total))

    def require_classes(self, class_names: Sequence[str]) -> None:
        """Raise UserError if the first epoch is over and a class had no point."""
        if not self.is_closed:
            return
        numbers = self.num_pairs.tolist()
        absent = [name for name, number in zip(class_names, numbers, strict=False) if not number]
        if absent:
            raise UserError(
                f"No point of the whole first epoch has the weak class {', '.join(absent)} "
                f"({len(absent)} of {len(class_names)}): its labels are missing, or nothing in the "
                "images is called so. Look at `olivine label report`, or leave it out of the "
                f"labeller's vocabulary. To train without it, --set runtime.allow={ABSENT_CLASSES} "
                "goes on from the checkpoint."
            )


def require_pairs(sampled: Mapping[str, tuple[int, int]], contrast_frames: int) -> None:
    """Raise UserError if a sampler got fewer pairs than its `num_pairs`.

    `sampled` holds, by term, the requested number and the smallest number in a contrast group.
    """
    for term, (requested, least) in sampled.items():
        if least < requested:
            setting = f"pretrained.method.terms.{term}.sample.num_pairs"
            raise UserError(
                f"The term {term!r} asks for {requested} pairs of {contrast_frames} frames; one "
                f"of the first batch's groups has {least}: lower {setting}, raise "
                "pretrained.contrast_frames, or take what there is by --set "
                f"runtime.allow={FEWER_PAIRS}."
            )
