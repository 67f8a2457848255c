"""The command that a report gives for a row gives that row's settings, to the last one."""

import itertools
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from olivine.cli import main as cli
from olivine.core.errors import UserError
from olivine.core.spec import Spec, parse_settings
from olivine.experiments.recipes import RECIPES, recipe
from olivine.experiments.reproduce_command import reproduce_command, shell_command
from olivine.experiments.requests import ExperimentRequest
from olivine.experiments.sweep import Trial, expand
from olivine.experiments.sweep_files import find_sweep
from olivine.tracking.mlflow_backend.run import texts_of
from olivine.training.config import EvaluateConfig


def rows_of(sweep: str, base: str, seeds: tuple[int, ...]) -> list[Any]:
    trials = expand(find_sweep(sweep).only(seeds=seeds), recipe(base))
    groups = itertools.groupby(sorted(trials, key=lambda t: t.row), key=lambda t: t.row)
    return [pytest.param(list(group), id=f"{sweep}: {row}") for row, group in groups]


def ran(shell: str) -> list[list[str]]:
    """Return the words of every `olivine` that shell starts."""
    script = f"set -eu\nolivine() {{ printf '%s\\0' \"$@\" $'\\n'; }}\n{shell}\n"
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return [line.split("\0")[:-1] for line in answer.stdout.removesuffix("\n\0").split("\n\0")]


def shown(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, EvaluateConfig]:
    """Return the fingerprint and the settings that `olivine show` gives for a command's words."""
    assert words[0] == "evaluate"
    assert cli.main(["show", *words[1:]]) == 0
    text = capsys.readouterr().out
    tree = yaml.safe_load(text)
    tree.pop("runtime")
    return text.split()[2].rstrip(","), EvaluateConfig.from_dict(tree)


@pytest.mark.parametrize(
    "trials",
    [
        *rows_of("components", "demo", (0, 3)),
        *rows_of("components", "olivine", (1,)),
        *rows_of("demo_methods", "demo", (0, 1))[::3],
    ],
)
def test_the_command_gives_the_settings_of_every_seed(
    trials: list[Trial], capsys: pytest.CaptureFixture[str]
) -> None:
    found = [reproduce_command(trial.config.setting_texts()) for trial in trials]
    assert None not in found
    more = ["--set", "runtime.out=a folder/it's"]
    shell = shell_command([one for one in found if one], [t.seed for t in trials], more)
    commands = ran(shell)
    assert len(commands) == len(trials)
    for words, trial in zip(commands, trials, strict=True):
        assert "runtime.out=a folder/it's" in words
        fingerprint, config = shown(words, capsys)
        assert config == trial.config
        assert fingerprint == trial.config.fingerprint()


def test_a_loop_is_one_command_and_other_settings_are_several() -> None:
    same = [
        reproduce_command(
            recipe("demo").override({"seed": n, "pretrained.seed": n}).setting_texts()
        )
        for n in (0, 2)
    ]
    assert shell_command([one for one in same if one], [0, 2]).startswith("for seed in 0 2; do\n")
    other = [
        reproduce_command(recipe("demo").override({"num_epochs": n}).setting_texts())
        for n in (3, 4)
    ]
    assert "for" not in (shell := shell_command([one for one in other if one], [0, 0]))
    assert [words[1] for words in ran(shell)] == ["demo", "demo"]
    fixed = [
        reproduce_command(recipe("demo").override({"seed": n}).setting_texts()) for n in (0, 2)
    ]
    (first, second) = ran(shell_command([one for one in fixed if one], [0, 2]))
    assert "pretrained.seed=0" in first
    assert "pretrained.seed=0" in second
    assert "seed=2" in second


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_nearest_to_itself(name: str) -> None:
    found = reproduce_command(recipe(name).setting_texts())
    assert found is not None
    # Two recipes may be one experiment.
    assert recipe(found.recipe).fingerprint() == recipe(name).fingerprint()
    assert not found.settings


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "pretrained.num_epochs": st.integers(0, 3),
        "head_lr": st.none() | st.floats(1e-7, 1e7),
        "pretrained.optimiser.lr": st.floats(1e-12, 1.0, exclude_min=True),
        "pretrained.optimiser.kind": st.sampled_from(["sgd", "adamw"]),
        "pretrained.teacher.kind": st.just("vit"),
        "pretrained.augmentations.drop_cuboid": st.none(),
        "pretrained.augmentations": st.just({}),
        "pretrained.voxels.size": st.tuples(*[st.floats(0.05, 1.0)] * 3).map(list),
        "pretrained.data.cameras": st.just(["CAM_FRONT"]),
        "pretrained.method.terms.class.sample": st.none(),
        "pretrained.hidden_channels": st.lists(st.integers(1, 9), max_size=2),
    },
)


@given(changes=CHANGES, base=st.sampled_from(["demo", "olivine", "slidr"]))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_change_is_repeated_or_refused(changes: dict[str, Any], base: str) -> None:
    try:
        config = recipe(base).override(changes)
    except UserError:
        return
    found = reproduce_command(config.setting_texts())
    assert found is not None
    assert cli_config(found.command_line()) == config


def cli_config(words: list[str]) -> EvaluateConfig:
    assert words[:2] == ["olivine", "evaluate"]
    recipe, changes = words[2], words[3:]
    assert set(changes[::2]) <= {"--set"}
    return ExperimentRequest(recipe, settings=tuple(changes[1::2])).resolve()[0]


def test_what_no_command_gives_has_none() -> None:
    settings = recipe("demo").setting_texts()
    assert reproduce_command({**settings, "pretrained.gone": "1"}) is None
    assert reproduce_command({**settings, "num_epochs": "many"}) is None
    assert (
        reproduce_command({name: text for name, text in settings.items() if name != "num_epochs"})
        is None
    )
    long = {"pretrained.data.version": "v" * 7000}
    kept = {**settings, **{name: texts_of({name: text})[name] for name, text in long.items()}}
    assert len(kept["pretrained.data.version"]) < 7000
    assert reproduce_command(kept) is None
    assert reproduce_command(Spec().setting_texts()) is None


@pytest.mark.parametrize("name", ["demo", "olivine_1_percent", "slidr_semantic_kitti"])
def test_runs_of_a_version_without_a_setting_are_reproduced_with_what_it_had(name: str) -> None:
    earlier = recipe(name).override(recipe(name).added_settings())
    texts = earlier.setting_texts()
    old = {key: text for key, text in texts.items() if key not in earlier.added_settings()}
    assert old.keys() < texts.keys()
    found = reproduce_command(old)
    assert found is not None
    changed = [f"{key}={text}" for key, text in {**found.settings, **found.seeds}.items()]
    config = recipe(found.recipe).override(parse_settings(changed))
    assert config.fingerprint() == earlier.fingerprint()
