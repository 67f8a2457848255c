"""The objective: a named set of terms, each of which is match -> sample -> loss.

Pairs compete within a *contrast group*: a fixed number of frames, whatever the number of workers.
The published codes compare the frames of one GPU; a group of that size gives their loss on any
number of devices, and the same value and gradient in one process as in many.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from olivine.core.user_parts import built_module, run_by, scalar
from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.class_counts import ClassCounter
from olivine.methods.features import Projected
from olivine.methods.losses.base import Loss
from olivine.methods.losses.stateful import Stateful
from olivine.methods.matched import WHOLE, Matched, StepPart
from olivine.methods.method import Method, Term
from olivine.methods.poolings.base import Pooling
from olivine.methods.samplers.base import Sampler


class Objective(nn.Module):
    """Computes one scalar and the value of every term from features."""

    def __init__(
        self, method: Method, num_channels: int, num_classes: int, num_teacher_channels: int = 1
    ):
        super().__init__()
        self.method = method
        self.ignored_id = num_classes if method.ignored_as_class else IGNORE
        total = num_classes + method.ignored_as_class
        width = {True: num_channels, False: num_teacher_channels}
        self.class_counts = ClassCounter()
        self.num_sampled: dict[str, list[int]] = {}  # of the last step, by term and contrast group
        terms = method.active().items()
        self._samplers = {name: _built(term.sample) for name, term in terms if term.sample}
        self._poolings = {name: _built(term.pool) for name, term in terms if term.pool}
        self.losses = nn.ModuleDict(
            {
                name: built_module(term.loss, _built(term.loss, width[term.project_pixels], total))
                for name, term in terms
            }
        )
        self.register_load_state_dict_pre_hook(_rename_class_counts)  # type: ignore[no-untyped-call] # torch has no hints for it

    def forward(
        self,
        features: Projected,
        tables: Mapping[str, PairTable],
        group_of_frame: Callable[[Tensor], Tensor],
        generators: Callable[[int, int], torch.Generator],
        part: StepPart = WHOLE,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the weighted sum of the terms, and each term's mean over the contrast groups.

        A group without pairs counts as zero, so that the mean does not depend on which process has
        which groups; if `part` does not name the groups, only those with pairs are known.
        `tables` holds the pairs of every kind of match that a term names. `group_of_frame` returns
        the group of each frame index. `generators(term, group)` returns the generator of one
        sampling, so that it does not depend on which process samples.
        """
        values = {}
        if self.training and self.method.uses_classes:
            self.class_counts.add(tables["pixel"].class_ids)
        tables = {match: _relabelled(pairs, self.ignored_id) for match, pairs in tables.items()}
        for position, (name, term) in enumerate(self.method.active().items()):
            pairs = tables[term.match]
            group_ids = group_of_frame(pairs.frame_index)
            chosen = [
                self._sample(
                    name,
                    pairs,
                    (group_ids == group).nonzero()[:, 0],
                    generators(position, group),
                )
                for group in _groups(part, group_ids)
            ]
            earlier = [] if part.is_first else self.num_sampled[name]
            self.num_sampled[name] = earlier + [len(rows) for rows in chosen]
            rows = torch.cat(chosen) if chosen else group_ids
            matched = self._matched(name, features, pairs.take(rows), group_ids[rows])
            values[name] = self._value(name, matched, part)
        total = sum((term.weight * values[name] for name, term in self.method.active().items()))
        assert isinstance(total, Tensor), "a method without terms has nothing to train"
        return total, values

    def _sample(
        self, name: str, pairs: PairTable, rows: Tensor, generator: torch.Generator
    ) -> Tensor:
        sampler, settings = self._samplers.get(name), self.method.active()[name].sample
        if sampler is None or settings is None or not len(rows):
            return rows
        with run_by(settings):
            return rows[sampler(pairs.take(rows), generator)]

    def _matched(
        self, name: str, features: Projected, pairs: PairTable, group_ids: Tensor
    ) -> Matched:
        term, pool = self.method.active()[name], self._poolings.get(name)
        if pool is None or term.pool is None:
            return _unpooled(term, features, pairs, group_ids)
        wants = term.loss.uses_teacher_rows
        with run_by(term.pool):
            return pool(features, term.head, pairs, group_ids, teacher_rows=wants)

    def _value(self, name: str, matched: Matched, part: StepPart) -> Tensor:
        loss, settings = self.losses[name], self.method.active()[name].loss
        with_rows = torch.unique(matched.group_ids)
        num_groups = len(with_rows) if part.groups is None else len(part.groups)
        # Without rows there is no loss, but every head must take part in the backward pass, and
        # in a loss that gathers keys other workers wait for this one.
        of_groups = [matched.take(matched.group_ids == group) for group in with_rows] or [matched]
        with run_by(settings):
            if isinstance(loss, Stateful):
                loss.observe(matched, part)
            values = [scalar(settings, loss(rows)) for rows in of_groups]
        return torch.stack(values).sum() / max(num_groups, 1)

    def sampled_pairs(self) -> dict[str, tuple[int, int]]:
        """Return the pairs wanted and the fewest sampled in the last step, by sampling term."""
        return {
            name: (term.sample.num_pairs, min(self.num_sampled[name], default=0))
            for name, term in self.method.active().items()
            if term.sample is not None and name in self.num_sampled
        }

    def state_metrics(self) -> dict[str, Tensor]:
        """Return scalars to be logged, named term/quantity.

        They are the mean number of pairs per contrast group of every term, and those of stateful
        losses.
        """
        device = self.class_counts.num_pairs.device
        numbers = {
            f"{name}/num_pairs": torch.tensor(sum(numbers) / max(len(numbers), 1), device=device)
            for name, numbers in self.num_sampled.items()
        }
        return numbers | {
            f"{name}/{key}": value
            for name, loss in self.losses.items()
            if isinstance(loss, Stateful)
            for key, value in loss.state_metrics().items()
        }


def _built(part: Loss | Sampler | Pooling, *arguments: int) -> Any:
    with run_by(part):
        return part.build(*arguments)


def _groups(part: StepPart, group_ids: Tensor) -> Sequence[int]:
    """Return the contrast groups of a part, or those with pairs if the part does not name them."""
    return torch.unique(group_ids).tolist() if part.groups is None else part.groups


def _unpooled(term: Term, features: Projected, pairs: PairTable, group_ids: Tensor) -> Matched:
    if term.match == "scan":
        scans, others = features.scans(term.head), features.scan_keys(term.head)
        return Matched(scans, others, pairs.class_ids, group_ids)
    keys: Tensor | None = None
    if term.loss.uses_keys:
        read = features.pixels if term.match == "pixel" else features.views
        keys = read(term.head, pairs) if term.project_pixels else _unit(features, pairs)
    return Matched(
        queries=features.points(term.head, pairs),
        keys=keys,
        class_ids=pairs.class_ids,
        group_ids=group_ids,
        teacher_rows=features.teacher_rows(pairs) if term.loss.uses_teacher_rows else None,
    )


def _unit(features: Projected, pairs: PairTable) -> Tensor:
    return F.normalize(features.teacher_rows(pairs), dim=1)


def _relabelled(pairs: PairTable, ignored_id: int) -> PairTable:
    class_ids = torch.where(pairs.class_ids == IGNORE, ignored_id, pairs.class_ids)
    return replace(pairs, class_ids=class_ids)


def primary_term(metrics: Mapping[str, float]) -> str | None:
    """Return the term whose curve represents a pretraining: that of pixels, else the first.

    `metrics` are those that its run logged, as `state_metrics` names them. One term is shown
    because terms differ in scale and a class term starts later. It is shown relative to its median,
    since the first value of a loss with an empty queue is zero.
    """
    counted = [re.fullmatch(r"pretrain/([^/]+)/num_pairs", name) for name in sorted(metrics)]
    terms = [found[1] for found in counted if found and f"pretrain/{found[1]}" in metrics]
    return min(terms, key=lambda term: term != "pixel", default=None)


def _rename_class_counts(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    """Rename the class counts in a checkpoint of version 0.1, where they are `census`."""
    old = f"{prefix}census."
    for name in [name for name in state if name.startswith(old)]:
        state[f"{prefix}class_counts.{name.removeprefix(old)}"] = state.pop(name)
