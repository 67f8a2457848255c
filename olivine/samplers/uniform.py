"""Every pair is as likely as any other (PPKT)."""

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from olivine.network_parts import Sampler
from olivine.tensors import PairTable


class Uniform(Sampler):
    """Settings: `num_pairs` per contrast group; where there are fewer, all are taken."""

    num_pairs: int = Field(default=4096, ge=1)

    def __call__(self, pairs: PairTable, generator: torch.Generator) -> Int[Tensor, " chosen"]:
        """Return rows of `pairs`, none twice."""
        device = pairs.voxel_index.device
        order = torch.randperm(len(pairs), generator=generator, device=device)
        return order[: self.num_pairs]
