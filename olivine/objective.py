"""A method is a named set of terms; each term is match -> sample -> loss.

Pairs compete within a *contrast group*: a fixed number of frames, whatever the number of
workers. The published codes compare the frames of one GPU; a group of that size gives their loss
on any number of devices, and the same value and gradient in one process as in many.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from olivine.network_parts import Loss, Pooling, Sampler, Stateful
from olivine.spec import Spec
from olivine.tensors import Matched, PairTable
from olivine.types import IGNORE


class Term(Spec):
    """One contrast between points and pixels. A weight of 0 removes it."""

    loss: Loss
    sample: Sampler | None = None  # None: every pair
    pool: Pooling | None = None
    head: str = "pixel"  # projection heads, one per side, shared by the terms that name them
    weight: float = Field(default=1.0, ge=0)

    @property
    def uses_classes(self) -> bool:
        """Whether it needs weak labels."""
        return self.loss.uses_classes or (self.sample is not None and self.sample.uses_classes)


class Method(Spec):
    """A pretraining method: its terms, by name.

    `ignored_as_class` treats pixels without a label as one more class, as the official code does
    (METHOD §2.5); otherwise they take part in no term that looks at classes.
    """

    terms: dict[str, Term]
    ignored_as_class: bool = False

    def active(self) -> dict[str, Term]:
        """Return the terms that count."""
        return {name: term for name, term in self.terms.items() if term.weight > 0}

    @property
    def heads(self) -> tuple[str, ...]:
        """Projection heads the networks must provide."""
        return tuple(sorted({term.head for term in self.active().values()}))

    @property
    def uses_classes(self) -> bool:
        """Whether any term needs weak labels."""
        return any(term.uses_classes for term in self.active().values())


@runtime_checkable
class Projected(Protocol):
    """Features that can be asked for by row, so that only what is sampled is projected."""

    def points(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length point feature of each pair."""
        ...

    def pixels(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length pixel feature of each pair."""
        ...


class Objective(nn.Module):
    """Turns features into one scalar and the value of every term."""

    def __init__(self, method: Method, num_channels: int, num_classes: int):
        super().__init__()
        self.method = method
        self.ignored_id = num_classes if method.ignored_as_class else IGNORE
        total = num_classes + method.ignored_as_class
        self.losses = nn.ModuleDict(
            {name: term.loss.build(num_channels, total) for name, term in method.active().items()}
        )

    def forward(
        self,
        features: Projected,
        pairs: PairTable,
        group_of_frame: Callable[[Tensor], Tensor],
        generators: Callable[[int, int], torch.Generator],
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the weighted sum of the terms, and each term's mean over the contrast groups.

        `group_of_frame` gives the group of each frame index; `generators(term, group)` the random
        numbers of one draw, so that a draw does not depend on who makes it.
        """
        pairs = _relabelled(pairs, self.ignored_id)
        group_ids = group_of_frame(pairs.frame_index)
        groups = torch.unique(group_ids)
        values = {}
        for position, (name, term) in enumerate(self.method.active().items()):
            chosen = torch.cat(
                [
                    _draw(
                        term,
                        pairs,
                        (group_ids == group).nonzero()[:, 0],
                        generators(position, int(group)),
                    )
                    for group in groups
                ]
            )
            values[name] = self._value(name, term, features, pairs.take(chosen), group_ids[chosen])
        total = sum((term.weight * values[name] for name, term in self.method.active().items()))
        assert isinstance(total, Tensor), "a method without terms has nothing to train"
        return total, values

    def _value(
        self, name: str, term: Term, features: Projected, pairs: PairTable, group_ids: Tensor
    ) -> Tensor:
        matched = Matched(
            queries=features.points(term.head, pairs),
            keys=features.pixels(term.head, pairs) if term.loss.uses_keys else None,
            class_ids=pairs.class_ids,
            group_ids=group_ids,
        )
        matched = term.pool(matched) if term.pool else matched
        loss = self.losses[name]
        if isinstance(loss, Stateful):
            loss.observe(matched)
        groups = torch.unique(matched.group_ids)
        if len(groups) == 0:  # no pair has a class: nothing to learn, but every head is used
            keys = 0.0 if matched.keys is None else matched.keys.sum()
            return 0.0 * (matched.queries.sum() + keys)
        return torch.stack([loss(_of_group(matched, group)) for group in groups]).mean()

    def state_metrics(self) -> dict[str, Tensor]:
        """Return what stateful losses want watched, named term/quantity."""
        return {
            f"{name}/{key}": value
            for name, loss in self.losses.items()
            if isinstance(loss, Stateful)
            for key, value in loss.state_metrics().items()
        }


def _draw(term: Term, pairs: PairTable, rows: Tensor, generator: torch.Generator) -> Tensor:
    if term.sample is None:
        return rows
    return rows[term.sample(pairs.take(rows), generator)]


def _of_group(matched: Matched, group: Tensor) -> Matched:
    rows = matched.group_ids == group
    return Matched(
        queries=matched.queries[rows],
        keys=None if matched.keys is None else matched.keys[rows],
        class_ids=matched.class_ids[rows],
        group_ids=matched.group_ids[rows],
    )


def _relabelled(pairs: PairTable, ignored_id: int) -> PairTable:
    class_ids = torch.where(pairs.class_ids == IGNORE, ignored_id, pairs.class_ids)
    return PairTable(
        pairs.voxel_index, pairs.pixel_index, class_ids, pairs.range_m, pairs.frame_index
    )
