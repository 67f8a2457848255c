"""What an epoch held: how many pairs each class and each draw had, and whether that will do.

A method asks for pairs and for classes. If the data cannot give them, a run ends with a sentence
instead of training on something else; `runtime.allow` lets it go on from where it stopped.
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
    """Counts the pairs of each class until the first epoch ends; nothing waits for the device.

    The counts survive in checkpoints, so a run that goes on knows them.
    """

    num_pairs: Tensor
    is_closed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("num_pairs", torch.zeros(IGNORE + 1, dtype=torch.double))
        self.register_buffer("is_closed", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def see(self, class_ids: Int[Tensor, " M"]) -> None:
        """Count this worker's pairs of one batch."""
        ones = torch.ones(len(class_ids), device=class_ids.device, dtype=torch.double)
        self.num_pairs.index_add_(0, class_ids, ones * ~self.is_closed)

    @torch.no_grad()
    def close(self) -> None:
        """End the count, over all workers; every worker calls it. A second call does nothing."""
        if not self.is_closed:
            self.num_pairs.copy_(sum_over_workers(self.num_pairs))
            self.is_closed.fill_(True)

    @torch.no_grad()
    def join(self) -> None:
        """Give all counts to the first worker, whose state is saved; every worker calls it."""
        if not self.is_closed:
            total = sum_over_workers(self.num_pairs)
            self.num_pairs.copy_(total if is_first_worker() else torch.zeros_like(total))

    def require_classes(self, class_names: Sequence[str]) -> None:
        """Raise UserError if the first epoch is over and had no point of some class."""
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


def require_pairs(drawn: Mapping[str, tuple[int, int]], contrast_frames: int) -> None:
    """Raise UserError if a draw got fewer pairs than it asked for.

    `drawn` has, by term, the number asked for and the least that a contrast group gave.
    """
    for term, (asked, least) in drawn.items():
        if least < asked:
            setting = f"pretrained.method.terms.{term}.sample.num_pairs"
            raise UserError(
                f"The term {term!r} asks for {asked} pairs of {contrast_frames} frames, and of the "
                f"first batch's groups one has {least}: lower {setting}, raise "
                "pretrained.contrast_frames, or take what there is by --set "
                f"runtime.allow={FEWER_PAIRS}."
            )
