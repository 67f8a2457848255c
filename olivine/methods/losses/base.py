"""The family of losses, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from olivine.core.parts import Part

if TYPE_CHECKING:
    import torch


class Loss(Part):
    """Builds a module from matched rows to a scalar."""

    family: ClassVar[str] = "losses"
    built_in: ClassVar[Mapping[str, str]] = {
        "info_nce": "olivine.methods.losses.info_nce:InfoNCE",
        "queue_nce": "olivine.methods.losses.queue_nce:QueueNCE",
        "regression": "olivine.methods.losses.regression:Regression",
        "semantic_tolerant": "olivine.methods.losses.semantic_tolerant:SemanticTolerant",
        "sup_con": "olivine.methods.losses.sup_con:SupCon",
        "vmf": "olivine.methods.losses.vmf:VMF",
    }
    uses_keys: ClassVar[bool] = True  # False: it uses the queries alone
    uses_classes: ClassVar[bool] = False  # True: it needs weak labels
    uses_teacher_rows: ClassVar[bool] = False  # True: it compares the teacher's own features
    shares_keys: ClassVar[bool] = False  # True: several queries may have one key

    @property
    def uses_whole_batch(self) -> bool:
        """Whether it compares with the whole batch at once, so that a batch cannot be divided."""
        return False

    @abstractmethod
    def build(self, num_channels: int, num_classes: int) -> "torch.nn.Module":
        """Return a module that maps the `Matched` rows of one contrast group to a scalar tensor."""
