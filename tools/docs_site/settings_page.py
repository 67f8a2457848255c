"""The settings reference: every setting's name, values, default and description, from the models.

A description is the `Field(description=…)` of the model, so it is the one that `--help` and the
editor show.
"""

import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from olivine.core.parts import Part, family_of, kinds, part_class
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.data.augmentations.base import Augmentation
from olivine.data.clusterings.base import Clustering
from olivine.data.dataset import Dataset
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.geometry.voxels import Voxelizer
from olivine.experiments.search_space import Choice, Real, Search, Whole
from olivine.experiments.sweep import Sweep
from olivine.labels.labeller import Labeller
from olivine.labels.labellers.grounded_sam.vocabulary import Prompt, Vocabulary
from olivine.methods.losses.base import Loss
from olivine.methods.method import Method, Term
from olivine.methods.poolings.base import Pooling
from olivine.methods.samplers.base import Sampler
from olivine.models.backbones.base import Backbone
from olivine.models.teachers.base import Teacher
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.optimisers.base import Optimiser
from tools.docs_site.tables import table

INTRODUCTION = """\
# Settings

Every setting has one dotted name, the same after `--set`, in a sweep, as a parameter in MLflow and
as a column of a table. `olivine show RECIPE` prints all of a recipe with their values. This page is
made from the models when the site is built.

A *part* is chosen by its `kind`, for example `--set pretrained.teacher.kind=vit`; it then starts
from that kind's defaults. `NAME` stands for a name that the recipe gives, such as the term `class`.
A setting marked with † decides no result, so no fingerprint contains it."""

# Models with the place of their settings, in the order of the page.
MODELS: Mapping[str, tuple[type[Spec], str]] = {
    "Evaluation": (EvaluateConfig, ""),
    "Pretraining": (PretrainConfig, "pretrained."),
    "Method": (Method, "pretrained.method."),
    "Terms of a method": (Term, "pretrained.method.terms.NAME."),
    "Voxels": (Voxelizer, "pretrained.voxels."),
    "Runtime": (Runtime, "runtime."),
}
# Families with the places where their parts stand.
FAMILIES: Mapping[str, tuple[type[Part], tuple[str, ...]]] = {
    "Losses": (Loss, ("pretrained.method.terms.NAME.loss.",)),
    "Samplers": (Sampler, ("pretrained.method.terms.NAME.sample.",)),
    "Poolings": (Pooling, ("pretrained.method.terms.NAME.pool.",)),
    "Backbones": (Backbone, ("pretrained.backbone.",)),
    "Teachers": (Teacher, ("pretrained.teacher.",)),
    "Labellers": (Labeller, ("pretrained.labels.", "pretrained.segments.")),
    "Clusterings": (Clustering, ("pretrained.clusters.",)),
    "Data sets": (Dataset, ("pretrained.data.", "train.", "val.")),
    "Augmentations": (
        Augmentation,
        ("pretrained.augmentations.NAME.", "augmentations.NAME."),
    ),
    "Optimisers": (Optimiser, ("pretrained.optimiser.", "optimiser.")),
}
# Values that stand inside a setting or a file, without a dotted name of their own.
VALUES: Mapping[str, tuple[type[Spec], str]] = {
    "Vocabulary of prompts": (Vocabulary, "pretrained.labels.vocabulary."),
    "Prompt": (Prompt, ""),
    "Sweep": (Sweep, ""),
    "Search": (Search, ""),
    "Range of a search": (Real, ""),
    "Range of whole numbers": (Whole, ""),
    "Choice of a search": (Choice, ""),
    "Synthetic world": (WorldConfig, ""),
}
NOTES = {
    "Sweep": "The fields of `SWEEP = Sweep(...)` in a sweep's file.",
    "Synthetic world": "The settings of `olivine data synth FOLDER --set NAME=VALUE`.",
}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of"}
PLAIN: Mapping[Any, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Any: "any value",
}
COLUMNS = ("setting", "values", "default", "description")


def page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION]
    for title, (model, prefix) in MODELS.items():
        parts += [f"## {title}", *_section(title, model, prefix)]
    for title, (family, places) in FAMILIES.items():
        parts += _family(title, family, places)
    parts.append("## Inside settings and files")
    for title, (model, prefix) in VALUES.items():
        parts += [f"### {title}", *_section(title, model, prefix)]
    return "\n\n".join(parts)


def _family(title: str, family: type[Part], places: tuple[str, ...]) -> list[str]:
    where = " or ".join(f"`{place}kind`" for place in places)
    begin = " or ".join(f"`{place}`" for place in places)
    parts = [f"## {title}", f"{_summary(family)} Chosen by {where}; names begin with {begin}."]
    shared = set(family.model_fields)
    if shared:
        parts += ["Settings of every kind:", _table(family, shared)]
    for kind in kinds(family):
        part = part_class(family, kind)
        parts += [f"### {title}: {kind}", f"*{_title_of_module(part)}* {_docstring(part)}"]
        own = {
            name
            for name, field in part.model_fields.items()
            if name not in shared or _default(field) != _default(family.model_fields[name])
        }
        parts.append(_table(part, own) if own else "No settings of its own.")
    return parts


def _section(title: str, model: type[Spec], prefix: str) -> list[str]:
    notes = [NOTES[title]] if title in NOTES else []
    if prefix:
        notes.append(f"Names begin with `{prefix}`.")
    return [*notes, _docstring(model), _table(model, set(model.model_fields))]


def _table(model: type[Spec], names: set[str]) -> str:
    rows = []
    for name, field in model.model_fields.items():
        if name in names:
            mark = " †" if model is Runtime or name in getattr(model, "places", ()) else ""
            cells = f"`{name}`{mark}", _values(field), _default(field), field.description or ""
            rows.append(cells)
    # A class of their own: on a narrow screen a setting's cells stand below each other.
    return f'<div class="settings" markdown>\n\n{table(COLUMNS, rows)}\n\n</div>'


def _docstring(model: type[Spec]) -> str:
    return inspect.getdoc(model) or ""


def _summary(model: type[Spec]) -> str:
    return " ".join(_docstring(model).split("\n\n")[0].split())


def _title_of_module(part: type[Part]) -> str:
    """Return the first line of a part's module, which names the paper."""
    document = inspect.getdoc(importlib.import_module(part.__module__)) or ""
    return " ".join(document.split("\n\n")[0].split())


def _values(field: FieldInfo) -> str:
    return _with_bounds(values_of(field.annotation), field.metadata)


def values_of(annotation: Any) -> str:
    """Return in words which values a type allows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        is_spec = isinstance(annotation, type) and issubclass(annotation, Spec)
        return _link(annotation) if is_spec else PLAIN[annotation]
    return COMPOUND[origin](arguments)


def _annotated(arguments: tuple[Any, ...]) -> str:
    notes = [piece for note in arguments[1:] for piece in getattr(note, "metadata", [note])]
    return _with_bounds(values_of(arguments[0]), notes)


def _union(arguments: tuple[Any, ...]) -> str:
    words = [values_of(one) for one in arguments if one is not NoneType]
    return " or ".join(words + ["`null`"] * (NoneType in arguments))


def _tuple(arguments: tuple[Any, ...]) -> str:
    if arguments[1:] == (Ellipsis,):
        return f"list of: {values_of(arguments[0])}"
    return f"{len(arguments)} values: {', '.join(map(values_of, dict.fromkeys(arguments)))}"


COMPOUND: Mapping[Any, Callable[[tuple[Any, ...]], str]] = {
    Annotated: _annotated,
    Literal: lambda values: " or ".join(f"`{value}`" for value in values),
    Union: _union,
    UnionType: _union,
    tuple: _tuple,
    dict: lambda arguments: f"by name: {values_of(arguments[1])}",
}


def _link(model: type[Spec]) -> str:
    """Return a link to where the page describes a model."""
    if issubclass(model, Part):
        model = family_of(model)
    titles = {found: title for title, (found, _) in {**MODELS, **FAMILIES, **VALUES}.items()}
    title = titles[model]
    return f"[{title.lower()}](#{re.sub(r'[^a-z0-9]+', '-', title.lower())})"


def _with_bounds(words: str, notes: list[Any]) -> str:
    """Add the bounds that a type's notes give, such as "≥ 0"."""
    bounds = [
        f"{sign} {getattr(note, name):g}"
        for note in notes
        for name, sign in BOUNDS.items()
        if getattr(note, name, None) is not None
    ]
    return ", ".join([words, *bounds])


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be set"
    if field.annotation is Vocabulary:
        return "`prompts13`"
    if isinstance(value, Spec):
        return _part(value) if isinstance(value, Part) else "its defaults"
    return _plain(list(value) if isinstance(value, tuple) else value)


def _plain(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"`{_flow(value)}`" if value else "none"
    return f"`{yaml.safe_dump(value).splitlines()[0]}`" if value != "" else "empty"


def _part(value: Part) -> str:
    """Return a part's kind and what differs from that kind's defaults."""
    plain = type(value)()
    changed = {
        name: setting
        for name, setting in value.to_dict().items()
        if name != "kind" and setting != plain.to_dict()[name]
    }
    return f"`{value.kind}`" + (f" with `{_flow(changed)}`" if changed else "")


def _flow(value: Any) -> str:
    copied = json.loads(json.dumps(value))  # equal lists would be written as anchor and alias
    return yaml.safe_dump(copied, default_flow_style=True, width=10_000, sort_keys=False).strip()
