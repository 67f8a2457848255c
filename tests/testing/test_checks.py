"""The contract checks themselves: a whole part passes, and each broken promise is told."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import olivine.testing
from olivine.core.errors import UserError
from olivine.core.parts import Part
from olivine.experiments.recipes import demo
from olivine.experiments.sweep import Sweep
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from olivine.testing import (
    check_augmentation,
    check_backbone,
    check_clustering,
    check_dataset,
    check_labeller,
    check_loss,
    check_optimiser,
    check_pooling,
    check_recipe,
    check_sampler,
    check_settings,
    check_sweep,
    check_teacher,
    load_part,
)
from tests.support.plugins import write_loss
from tests.testing import broken_data
from tests.testing import broken_parts as broken

Check = Callable[[Any], None]
# Of each check: a part, and for each of its faults what the sentence says.
FAULTS: list[tuple[str, type[Part], dict[str, str]]] = [
    ("loss", broken.Contrast, {
        "changes its rows": "changes its keys in place",
        "divides by no row": "the value is nan",
        "half": "for torch.bfloat16 rows it returns torch.bfloat16",
        "detached": "no gradient flows to the queries",
        "not finite": "the value is inf",
        "by place": "another order of rows gives",
        "random": "the same seed gives another value",
        "forgets": "does not survive a checkpoint",
        "a row each": "not a single number",
        "rises": "moving the queries along its gradient takes it",
    }),
    ("sampler", broken.Draw, {
        "twice": "pairs twice",
        "beyond": "rows that are not in the table",
        "too few": "of 600 pairs instead of 64",
        "global": "the same seed draws other pairs",
        "its own seed": "every seed draws the same pairs",
        "changes the table": "changes range_m in place",
        "int32": "not torch.int64",
    }),
    ("pooling", broken.Groups, {
        "sums": "not means of unit-length rows",
        "detached": "no gradient flows to the points",
        "shares": "shares_keys is not set",
        "elsewhere": "a group without pairs",
        "no teacher": "are not returned on request",
    }),
    ("backbone", broken.Net, {
        "channels": "instead of",
        "its own seed": "do not follow torch's seed",
        "unused": "takes no gradient",
        "batch": "depend on the other scans of the batch",
        "by place": "another order of voxels",
        "counts": "depend on the other scans",
        "not finite": "a feature is not finite",
        "frozen": "takes no gradient",
    }),
    ("teacher", broken.Look, {
        "random": "it gives other maps",
        "batch": "depends on the other images of the batch",
        "double": "dtype_on returns torch.float32",
        "not finite": "a feature is not finite",
        "size": "instead of",
    }),
    ("labeller", broken_data.Shades, {
        "one name": "two classes have one name",
        "identity": "does not change with its code",
        "no hash": "is not 12 hex digits",
        "batch": "depends on the other images",
        "id": "has the id 2",
        "size": "a map of",
        "dtype": "not uint8",
        "random": "gives other maps",
        "changes its images": "changes its images in place",
        "fewer": "3 maps for 4 images",
    }),
    ("dataset", broken_data.Town, {
        "any root": "a missing root is opened",
        "fingerprint": "changes when it is opened again",
        "tokens": "1 tokens for 6 frames",
        "later": "a later frame is of another scene",
        "images": "images that were not requested",
        "classes": "classes that were not requested",
        "no names": "no longer names them",
        "double": "not a float32 array",
        "not finite": "intensity is not finite",
        "unknown class": "ids of the vocabulary",
        "pose": "not a rotation and translation",
        "scene": "another token or scene",
        "unseen": "no camera sees a point",
        "shuffled images": "gives another",
        "drifts": "a pickle of it reads other frames",
        "lost file": r"split_files\(\) names 'scans/0.bin' of scans, which is no file",
        "outside": "scans that are no paths below",
        "file twice": "one of its scans twice",
    }),
    ("augmentation", broken_data.Thin, {
        "unseeded": "the same seed gives another sample",
        "drops all": "it leaves no point",
        "old rows": "a pair has another class than before",
        "moves pixels": "a pair",
        "old ranges": "range_m no longer belongs to its point",
        "old classes": "differ in number",
        "flips": "a pair shows another spot",
        "in place": "changes its sample in place",
    }),
    ("clustering", broken_data.Boxes, {
        "renames": "another id in the next scan",
        "one thing": "two boxes far apart have one id",
        "by place": "it divides a box",
        "floats": "not whole numbers",
        "ids below": "not whole numbers from -1",
        "fewer": "ids for",
    }),
    ("optimiser", broken.Descent, {
        "ascends": "four steps take a loss from",
        "forgets": "two steps and two more",
        "no rates": "build by with_first_rates",
        "grows": "not 0 to 1",
    }),
]  # fmt: skip
CASES = [
    (family, part, fault, sentence)
    for family, part, faults in FAULTS
    for fault, sentence in faults.items()
]


def check_of(family: str, tmp_path: Path) -> Check:
    if family == "dataset":
        return partial(check_dataset, root=tmp_path, cache_dir=tmp_path)
    return {
        "loss": check_loss,
        "sampler": check_sampler,
        "pooling": check_pooling,
        "backbone": check_backbone,
        "teacher": check_teacher,
        "labeller": check_labeller,
        "augmentation": check_augmentation,
        "clustering": check_clustering,
        "optimiser": check_optimiser,
    }[family]


@pytest.mark.parametrize(("family", "part"), [case[:2] for case in FAULTS], ids=str)
def test_a_whole_part_passes(family: str, part: type[Part], tmp_path: Path) -> None:
    check_of(family, tmp_path)(part())


@pytest.mark.parametrize(
    ("family", "part", "fault", "sentence"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES]
)
def test_a_broken_promise_is_told(
    family: str, part: type[Part], fault: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=sentence) as caught:
        check_of(family, tmp_path)(part.from_dict({"fault": fault}))
    assert str(caught.value).startswith(f"{part.family}, {part.kind}: ")


class Forgetful(InfoNCE):
    """Its settings are written without one of them."""

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind}


class Lenient(InfoNCE, extra="ignore"):
    """It takes any name."""


class Soft(InfoNCE, frozen=False):
    """Its settings can be changed."""


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (Forgetful(temperature=0.5), "read as other settings"),
        (Lenient(), "an unknown setting is accepted"),
        (Soft(), "the setting temperature can be changed"),
    ],
)
def test_broken_settings_are_told(part: Loss, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_settings(part)


def mute() -> Any:
    return demo()


def test_a_recipe_that_says_nothing_is_told() -> None:
    with pytest.raises(AssertionError, match="mute has no docstring"):
        check_recipe(mute)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"question": "It is so."}, "has no question"),
        (
            {
                "rows": {"a": {"pretrained.num_epochs": 5}},
                "seed_names": ("seed", "pretrained.seed"),
            },
            None,
        ),
        ({"rows": {"a": {"pretrained.lr": 5}}}, "row 'a': No setting"),
        ({"recipe": "dem"}, "Did you mean 'demo'"),
    ],
)
def test_a_sweep_that_cannot_be_asked_is_told(
    changes: dict[str, Any], sentence: str | None
) -> None:
    whole = {
        "name": "s",
        "question": "Is it?",
        "metric": "miou",
        "recipe": "demo",
        "rows": {"a": {}},
    }
    sweep = Sweep(**{**whole, **changes})
    if sentence is None:
        check_sweep(sweep)
        return
    with pytest.raises((AssertionError, UserError), match=sentence):
        check_sweep(sweep)


def test_a_part_is_loaded_from_its_file(tmp_path: Path) -> None:
    found = load_part("losses", write_loss(tmp_path), "MyLoss")
    assert issubclass(found, Loss)
    with pytest.raises(UserError, match=r"No family 'lossess' of parts. Did you mean 'losses'"):
        load_part("lossess", tmp_path / "my_loss.py", "MyLoss")


def test_what_is_offered_is_there_and_no_more() -> None:
    for name in olivine.testing.__all__:
        assert callable(getattr(olivine.testing, name))
    assert set(dir(olivine.testing)) == set(olivine.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        _ = olivine.testing.check_everything
