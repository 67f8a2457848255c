"""A method as a value: its terms, and what they need."""

from typing import Literal

from pydantic import Field, model_validator

from olivine.core.spec import Spec
from olivine.methods.losses.base import Loss
from olivine.methods.poolings.base import Pooling
from olivine.methods.samplers.base import Sampler


class Term(Spec):
    """One contrast; a weight of 0 removes it.

    `match` says what is compared: a point with the pixel that sees it ("pixel"), a point with
    itself in the scan's second view ("view"), a whole scan with its second view in the momentum
    encoder ("scan"), or a superpoint with itself in a later scan ("time").
    """

    loss: Loss = Field(description="Loss of the matched features.")
    match: Literal["pixel", "view", "scan", "time"] = Field(
        default="pixel",
        description="What is compared: point and pixel, two views of a point, two views of a "
        "scan, or a superpoint over time.",
    )
    sample: Sampler | None = Field(
        default=None, description="Sampler of the pairs; null takes every pair."
    )
    pool: Pooling | None = Field(
        default=None, description="Pooling of the pairs before the loss; null pools nothing."
    )
    head: str = Field(
        default="pixel",
        description="Name of the projection heads, one per side; terms of one name share them.",
    )
    project_pixels: bool = Field(
        default=True,
        description="Whether pixels have a head; otherwise points are brought to the teacher's "
        "own features.",
    )
    weight: float = Field(
        default=1.0,
        ge=0,
        description="Weight of the term in the sum of losses; 0 removes the term.",
    )

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
    """A pretraining method: its terms by name."""

    terms: dict[str, Term] = Field(description="Terms of the loss, by name.")
    ignored_as_class: bool = Field(
        default=False,
        description="Whether pixels without a label are one more class, as in the official code "
        "(method.md §2.5); otherwise no term that needs classes takes them.",
    )
    student_momentum: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Share of the momentum encoder that is kept per step, where a term needs one.",
    )

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
        """Return the terms whose weight is above 0."""
        return {name: term for name, term in self.terms.items() if term.weight > 0}

    @property
    def heads(self) -> tuple[str, ...]:
        """The projection heads that the networks must provide."""
        return tuple(sorted({term.head for term in self.active().values()}))

    @property
    def frozen_heads(self) -> frozenset[str]:
        """The heads whose points are brought to the teacher's own features."""
        return frozenset(t.head for t in self.active().values() if not t.project_pixels)

    @property
    def uses_classes(self) -> bool:
        """Whether any term needs weak labels."""
        return any(term.uses_classes for term in self.active().values())

    @property
    def uses_images(self) -> bool:
        """Whether any term uses point-pixel pairs, even if only for their labels."""
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
        """Whether any term uses points of the second scan, and not only the whole scan."""
        return any(term.match in ("view", "time") for term in self.active().values())

    @property
    def uses_momentum(self) -> bool:
        """Whether any term needs the momentum encoder."""
        return any(term.match == "scan" for term in self.active().values())
