"""Networks, losses and what trains them, that break one promise each, by their `fault`."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from olivine.data.batch import PairTable, Voxels
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.matched import Matched
from olivine.methods.poolings.segment import Segment
from olivine.methods.samplers.base import Sampler
from olivine.models.backbones.base import Backbone
from olivine.models.teachers.base import Teacher
from olivine.training.optimisers.base import Optimiser, with_first_rates

NOTHING = ""  # the fault of a part that is whole


class Contrast(Loss):
    """InfoNCE with a fault."""

    fault: str = NOTHING

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        return _Contrast(self.fault)


class _Contrast(nn.Module):
    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        self.noise = torch.rand(())  # no buffer: it is in no checkpoint

    def forward(self, matched: Matched) -> Tensor:  # noqa: PLR0911, a fault each
        queries, keys = matched.queries, matched.keys
        assert keys is not None
        if self.fault == "changes its rows":
            keys.mul_(1.01)
        if self.fault == "divides by no row":
            return (queries - keys).float().square().sum() / len(queries)
        value = info_nce(queries, keys, 0.1) if len(queries) else (queries.sum() + keys.sum()) * 0
        if self.fault == "half":
            return value.to(queries.dtype)
        if self.fault == "detached":
            return value.detach()
        if self.fault == "not finite":
            return value / 0
        if self.fault == "by place":
            return value + (queries[:, 0] * torch.arange(len(queries))).sum()
        if self.fault == "random":
            return value + torch.rand(()) * np.random.default_rng().random()
        if self.fault == "forgets":
            return value + self.noise
        if self.fault == "rises":
            return 2 * value.detach() - value  # its gradient points the other way
        return F.normalize(queries)[:, 0] if self.fault == "a row each" else value


class Draw(Sampler):
    """A uniform draw with a fault."""

    fault: str = NOTHING

    def build(self) -> Any:
        return self._draw

    def _draw(self, pairs: PairTable, generator: torch.Generator) -> Tensor:
        num = len(pairs)
        own = torch.Generator().manual_seed(0) if self.fault == "its own seed" else generator
        rows = torch.randperm(num, generator=own)[: self.num_pairs]
        if self.fault == "twice" and num > 1:
            return rows[torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(len(rows) - 1)])]
        if self.fault == "beyond":
            return rows + 1
        if self.fault == "too few":
            return rows[:-1]
        if self.fault == "global":
            return torch.randperm(num)[: self.num_pairs]
        if self.fault == "changes the table":
            pairs.range_m.zero_()
        return rows.int() if self.fault == "int32" else rows


class Groups(Segment):
    """SLidR's pooling with a fault."""

    fault: str = NOTHING

    def build(self) -> Any:
        return self._pool

    def _pool(  # noqa: PLR0911, a fault each
        self, features: Any, head: str, pairs: PairTable, group_ids: Tensor, **how: bool
    ) -> Matched:
        matched = super().build()(features, head, pairs, group_ids, **how)
        if self.fault == "sums":
            return replace(matched, queries=matched.queries * 10)
        if self.fault == "detached":
            return replace(matched, queries=matched.queries.detach().requires_grad_())
        if self.fault == "shares":
            return replace(matched, key_of=torch.arange(len(matched.queries)))
        if self.fault == "elsewhere":
            return replace(matched, group_ids=matched.group_ids + 100)
        if self.fault == "no teacher":
            return replace(matched, teacher_rows=None)
        if self.fault == "by place" and len(pairs):
            return replace(matched, queries=matched.queries.flip(0))
        return matched


class Net(Backbone):
    """A layer per voxel with a fault."""

    fault: str = NOTHING

    @property
    def num_channels(self) -> int:
        return 8

    def build(self, num_input_channels: int) -> nn.Module:
        return _Net(self.fault)


class _Net(nn.Module):
    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        generator = torch.Generator().manual_seed(0) if fault == "its own seed" else None
        self.layer, self.out = nn.Linear(4, 16), nn.Linear(16, 9 if fault == "channels" else 8)
        if generator is not None:
            for weights in self.parameters():
                weights.data.normal_(generator=generator)
        self.spare = nn.Linear(1, 1) if fault == "unused" else nn.Identity()
        self.calls = 0

    def forward(self, voxels: Voxels) -> Tensor:
        inputs = torch.cat([voxels.coordinates[:, 1:].float() / 10, voxels.features], dim=1)
        rows = self.out(self.layer(inputs).tanh())
        if self.fault == "batch":
            rows = rows + rows.mean(dim=0)
        if self.fault == "by place":
            rows = rows + torch.arange(len(rows), device=rows.device)[:, None]
        if self.fault == "counts":
            self.calls += 1
            rows = rows + self.calls
        if self.fault == "not finite":
            rows = rows / (voxels.features * 0)
        return rows.detach() + self.out.bias * 0 if self.fault == "frozen" else rows


class Look(Teacher):
    """Colours as features, with a fault."""

    fault: str = NOTHING

    @property
    def num_channels(self) -> int:
        return 3

    def map_size(self, rows_px: int, columns_px: int) -> tuple[int, int]:
        return rows_px // 2, columns_px // 2

    def build(self, device: torch.device | None = None) -> nn.Module:
        return _Look(self.fault)


class _Look(nn.Module):
    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        self.scale = nn.Parameter(torch.rand(()) if fault == "random" else torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = images.shape[2] // 2, images.shape[3] // 2
        maps = images[:, :, : 2 * rows : 2, : 2 * columns : 2].float() * self.scale
        if self.fault == "batch":
            return maps - maps.mean(dim=0)
        if self.fault == "double":
            return maps.double()
        if self.fault == "not finite":
            return maps / 0
        return maps[:, :, 1:] if self.fault == "size" else maps


class Descent(Optimiser):
    """torch's SGD with a fault."""

    fault: str = NOTHING

    def build(self, groups: list[dict]) -> torch.optim.Optimizer:
        rate = -self.lr if self.fault == "ascends" else self.lr
        if self.fault == "ascends":
            groups = [{**group, "lr": -group.get("lr", rate), "maximize": True} for group in groups]
            groups = [{**group, "lr": abs(group["lr"])} for group in groups]
            return with_first_rates(torch.optim.SGD(groups, lr=self.lr))
        built = torch.optim.SGD(groups, lr=rate, momentum=0.9)
        if self.fault == "forgets":
            built = _Forgetful(groups, lr=rate, momentum=0.9)
        return built if self.fault == "no rates" else with_first_rates(built)

    def rate_share(self, step: int, steps_per_epoch: int, num_epochs: int) -> float:
        return 1.0 + step if self.fault == "grows" else 1.0


class _Forgetful(torch.optim.SGD):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "state": {}}
