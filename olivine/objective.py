"""A method is a named set of terms; each term is match -> sample -> loss.

Pairs compete within a *contrast group*: a fixed number of frames, whatever the number of
workers. The published codes compare the frames of one GPU; a group of that size gives their loss
on any number of devices, and the same value and gradient in one process as in many.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from olivine.census import Census
from olivine.network_parts import Loss, Pooling, Projected, Sampler, Stateful
from olivine.spec import Spec
from olivine.tensors import WHOLE, Matched, PairTable, StepPart
from olivine.types import IGNORE


class Term(Spec):
    """One contrast. A weight of 0 removes it.

    `match` says what is compared: a point with the pixel that sees it ("pixel"), a point with
    itself in the scan's second view ("view"), a whole scan with its second view as a slowly
    moving copy of the student sees it ("scan"), or a superpoint with itself in a later scan
    ("time").
    """

    loss: Loss
    match: Literal["pixel", "view", "scan", "time"] = "pixel"
    sample: Sampler | None = None  # None: every pair
    pool: Pooling | None = None
    head: str = "pixel"  # projection heads, one per side, shared by the terms that name them
    project_pixels: bool = True  # False: no head for pixels, points are brought to the teacher's
    weight: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "Term":
        if self.match != "pixel" and (self.uses_classes or self.loss.uses_teacher_rows):
            raise ValueError(
                f"match={self.match!r} compares scans with scans: it takes no sampler or loss that "
                "needs weak labels or the teacher"
            )
        if self.pool is not None and self.pool.match != self.match:
            raise ValueError(
                f"pool.kind={self.pool.kind} is for match={self.pool.match!r}, not {self.match!r}"
            )
        if self.match == "time" and self.pool is None:
            raise ValueError("match='time' compares superpoints: set pool.kind=cluster")
        if self.pool is not None and self.pool.shares_keys and not self.loss.shares_keys:
            raise ValueError(
                f"loss.kind={self.loss.kind} wants a key for every query, and pool.kind="
                f"{self.pool.kind} gives one to many: choose info_nce, or average the queries too"
            )
        if not self.project_pixels and (self.match != "pixel" or self.pool is not None):
            raise ValueError("project_pixels=False compares points with the teacher's pixels")
        if self.match == "scan" and self.sample is not None:
            raise ValueError("match='scan' compares every scan: it takes no sampler")
        return self

    @property
    def uses_pixels(self) -> bool:
        """Whether it needs a teacher."""
        return self.match == "pixel" and (
            self.loss.uses_keys or self.loss.uses_teacher_rows or self.pool is not None
        )

    @property
    def uses_classes(self) -> bool:
        """Whether it needs weak labels."""
        return self.loss.uses_classes or (self.sample is not None and self.sample.uses_classes)


class Method(Spec):
    """A pretraining method: its terms, by name.

    `student_momentum` is the share of the slowly moving copy of the student kept per step, where a
    term needs one. `ignored_as_class` treats pixels without a label as one more class, as the
    official code does (METHOD §2.5); otherwise they take part in no term that looks at classes.
    """

    terms: dict[str, Term]
    ignored_as_class: bool = False
    student_momentum: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_one_second_scan(self) -> "Method":
        if self.uses_clusters and self.uses_second_view:
            raise ValueError(
                "terms with match='view' or 'scan' compare with a second view of the scan and "
                "those with match='time' with a later scan: a method has one or the other"
            )
        return self

    @model_validator(mode="after")
    def _heads_agree(self) -> "Method":
        for head in self.heads:
            sides = {t.project_pixels for t in self.active().values() if t.head == head}
            if len(sides) > 1:
                raise ValueError(
                    f"terms that share the head {head!r} must agree on project_pixels; give one "
                    "of them a head of its own"
                )
        return self

    def active(self) -> dict[str, Term]:
        """Return the terms that count."""
        return {name: term for name, term in self.terms.items() if term.weight > 0}

    @property
    def heads(self) -> tuple[str, ...]:
        """Projection heads the networks must provide."""
        return tuple(sorted({term.head for term in self.active().values()}))

    @property
    def frozen_heads(self) -> frozenset[str]:
        """Heads whose points are brought to the teacher's own features."""
        return frozenset(t.head for t in self.active().values() if not t.project_pixels)

    @property
    def uses_classes(self) -> bool:
        """Whether any term needs weak labels."""
        return any(term.uses_classes for term in self.active().values())

    @property
    def uses_images(self) -> bool:
        """Whether any term looks at point-pixel pairs, be it for their labels alone."""
        return any(term.match == "pixel" for term in self.active().values())

    @property
    def uses_pixels(self) -> bool:
        """Whether any term needs a teacher."""
        return any(term.uses_pixels for term in self.active().values())

    @property
    def uses_segments(self) -> bool:
        """Whether any term pools by superpixels."""
        return any(term.pool and term.pool.uses_segments for term in self.active().values())

    @property
    def uses_second_view(self) -> bool:
        """Whether any term compares two views of a scan."""
        return any(term.match in ("view", "scan") for term in self.active().values())

    @property
    def uses_clusters(self) -> bool:
        """Whether any term compares superpoints over time."""
        return any(term.match == "time" for term in self.active().values())

    @property
    def uses_view_points(self) -> bool:
        """Whether any term looks at points of the second scan, not at the whole scan alone."""
        return any(term.match in ("view", "time") for term in self.active().values())

    @property
    def uses_momentum(self) -> bool:
        """Whether any term needs the slowly moving copy of the student."""
        return any(term.match == "scan" for term in self.active().values())


class Objective(nn.Module):
    """Turns features into one scalar and the value of every term."""

    def __init__(
        self, method: Method, num_channels: int, num_classes: int, num_teacher_channels: int = 1
    ):
        super().__init__()
        self.method = method
        self.ignored_id = num_classes if method.ignored_as_class else IGNORE
        total = num_classes + method.ignored_as_class
        width = {True: num_channels, False: num_teacher_channels}
        self.census = Census()
        self.num_drawn: dict[str, list[int]] = {}  # of the last step, by term and contrast group
        self.losses = nn.ModuleDict(
            {
                name: term.loss.build(width[term.project_pixels], total)
                for name, term in method.active().items()
            }
        )

    def forward(
        self,
        features: Projected,
        tables: Mapping[str, PairTable],
        group_of_frame: Callable[[Tensor], Tensor],
        generators: Callable[[int, int], torch.Generator],
        part: StepPart = WHOLE,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the weighted sum of the terms, and each term's mean over the contrast groups.

        `tables` holds the pairs of every kind of match that a term names. `group_of_frame` gives
        the group of each frame index; `generators(term, group)` the random
        numbers of one draw, so that a draw does not depend on who makes it.
        """
        values = {}
        if self.training and self.method.uses_classes:
            self.census.see(tables["pixel"].class_ids)
        tables = {match: _relabelled(pairs, self.ignored_id) for match, pairs in tables.items()}
        for position, (name, term) in enumerate(self.method.active().items()):
            pairs = tables[term.match]
            group_ids = group_of_frame(pairs.frame_index)
            chosen = [
                _draw(
                    term,
                    pairs,
                    (group_ids == group).nonzero()[:, 0],
                    generators(position, int(group)),
                )
                for group in torch.unique(group_ids)
            ]
            earlier = [] if part.is_first else self.num_drawn[name]
            self.num_drawn[name] = earlier + [len(rows) for rows in chosen]
            rows = torch.cat(chosen) if chosen else group_ids
            matched = _matched(term, features, pairs.take(rows), group_ids[rows])
            values[name] = self._value(name, matched, part)
        total = sum((term.weight * values[name] for name, term in self.method.active().items()))
        assert isinstance(total, Tensor), "a method without terms has nothing to train"
        return total, values

    def _value(self, name: str, matched: Matched, part: StepPart) -> Tensor:
        loss = self.losses[name]
        if isinstance(loss, Stateful):
            loss.observe(matched, part)
        groups = torch.unique(matched.group_ids)
        if len(groups) == 0:
            # Nothing to learn here, but every head takes part, and so does a loss that gathers
            # the keys of other workers: they wait for this one.
            return loss(matched)
        values = [loss(matched.take(matched.group_ids == group)) for group in groups]
        return torch.stack(values).mean()

    def draws(self) -> dict[str, tuple[int, int]]:
        """Return, by term that draws, the pairs it asks for and the least of the last step."""
        return {
            name: (term.sample.num_pairs, min(self.num_drawn[name], default=0))
            for name, term in self.method.active().items()
            if term.sample is not None and name in self.num_drawn
        }

    def state_metrics(self) -> dict[str, Tensor]:
        """Return what is worth watching, named term/quantity.

        Of every term the mean number of pairs per contrast group, of stateful losses their own.
        """
        device = self.census.num_pairs.device
        numbers = {
            f"{name}/num_pairs": torch.tensor(sum(drawn) / max(len(drawn), 1), device=device)
            for name, drawn in self.num_drawn.items()
        }
        return numbers | {
            f"{name}/{key}": value
            for name, loss in self.losses.items()
            if isinstance(loss, Stateful)
            for key, value in loss.state_metrics().items()
        }


def _draw(term: Term, pairs: PairTable, rows: Tensor, generator: torch.Generator) -> Tensor:
    if term.sample is None:
        return rows
    return rows[term.sample(pairs.take(rows), generator)]


def _matched(term: Term, features: Projected, pairs: PairTable, group_ids: Tensor) -> Matched:
    if term.pool is not None:
        wants = term.loss.uses_teacher_rows
        return term.pool(features, term.head, pairs, group_ids, teacher_rows=wants)
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


def shown_term(metrics: Mapping[str, float]) -> str | None:
    """Return the term that stands for a pretraining's curves: that of pixels, else the first.

    `metrics` are those its run logged, as `state_metrics` names them. One term is drawn because
    they differ in scale and a class term joins in later; over its median, since the first value
    of a loss with an empty queue is zero.
    """
    counted = [re.fullmatch(r"pretrain/([^/]+)/num_pairs", name) for name in sorted(metrics)]
    terms = [found[1] for found in counted if found and f"pretrain/{found[1]}" in metrics]
    return min(terms, key=lambda term: term != "pixel", default=None)
