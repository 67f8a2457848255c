"""Every pair is as likely as any other (PPKT)."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from olivine.drawing import choose_weighted, equal_scans, scan_ids
from olivine.network_parts import Sampler
from olivine.tensors import PairTable


class Uniform(Sampler):
    """Settings: with `scope` "scan" all scans of a group are as likely, whatever their pairs."""

    kind: ClassVar[str] = "uniform"

    scope: Literal["group", "scan"] = "group"

    def __call__(self, pairs: PairTable, generator: torch.Generator) -> Int[Tensor, " chosen"]:
        """Return rows of `pairs`, none twice."""
        if self.scope == "scan":
            log_weight = equal_scans(torch.zeros_like(pairs.range_m), *scan_ids(pairs))
            return choose_weighted(log_weight, self.num_pairs, generator, excludes=False)
        device = pairs.voxel_index.device
        order = torch.randperm(len(pairs), generator=generator, device=device)
        return order[: self.num_pairs]
