"""No scene that a network learns from scores it: an error that names it, or a mark."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

from olivine.cli import main as cli
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Dataset
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.nuscenes.splits import ALL, scenes_of_split
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.datasets.synthetic import Synthetic
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.scenes import OVERLAP_TAG, SETTINGS_READ, SceneSet, overlap_mark
from olivine.experiments.expanded_sweep import expand_sweep
from olivine.experiments.preview import preview
from olivine.experiments.recipes import RECIPES, demo, demo_random, recipe
from olivine.experiments.sweep import Sweep
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.lidarseg_truth import LidarsegTruth
from olivine.labels.labellers.regions import Regions
from olivine.runners.launch import launch_evaluation, launch_pretraining
from olivine.tracking.run_store import open_run_store
from olivine.tracking.tracker import NullTracker
from olivine.training.config import EvaluateConfig
from olivine.training.experiment_data import ExperimentData, overlap_of, overlap_tags, require_apart
from tests.support.kitti_scans import SmallKitti

MINI_VAL = ("scene-0103", "scene-0916")
SMALL = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "num_epochs": 1,
}


def runtime_of(root: Path, out: Path, **settings: object) -> Runtime:
    places = {"data_root": str(root), "out": str(out), "cache_dir": str(out / "cache")}
    return Runtime(**places, device="cpu", launcher="process", **settings)


def found(config: EvaluateConfig, runtime: Runtime) -> str:
    return overlap_of(config, ExperimentData.open(config, runtime))


def test_recipes_learn_from_no_scene_that_they_score():
    for name in RECIPES:
        config = recipe(name)
        for learnt in (config.pretrained.data, config.train):
            assert not learnt.surely_shares(config.val), name
            if isinstance(learnt, Nuscenes) and isinstance(config.val, Nuscenes):
                assert ALL not in (learnt.split, config.val.split)
                both = scenes_of_split(learnt.split) & scenes_of_split(config.val.split)
                assert not both, name


def test_the_demo_learns_from_no_scene_that_it_scores(tiny_world, tmp_path):
    assert found(demo(), runtime_of(tiny_world, tmp_path)) == ""


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"train.split": "mini_val"}, ["train has 2 of the 2 scenes of val (scene-0103, "]),
        ({"val.split": "mini_train"}, ["pretrained.data has 8 of the 8 scenes of val (scene-0061, "
                                       "scene-0553, scene-0655 and 5 more); train has 8 of"]),
        ({"train.split": "all", "train.scene_step": 2}, ["train has 1 of the 2 scenes of val (s"]),
        ({"val.split": "all"}, ["train has 8 of the 10"]),
        ({"pretrained.data.split": "mini_val"}, ["pretrained.data has 2 of the 2", "0916)"]),
        ({"pretrained.data.split": "mini_val", "pretrained.labels.kind": "lidarseg_truth"},
         ["(scene-0103, scene-0916) with the truth as labels (lidarseg_truth)"]),
        ({"pretrained.data.kind": "synthetic", "pretrained.data.split": "mini_val"},
         ["pretrained.data has 2 of the 2 scenes of val"]),  # the same folder
    ],
)  # fmt: skip
def test_an_overlap_is_an_error_that_names_the_scenes(settings, texts, tiny_world, tmp_path):
    runtime = runtime_of(tiny_world, tmp_path)
    if settings.get("pretrained.data.kind") == "synthetic":
        world = WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120)
        settings = {**settings, "pretrained.data.world": world}
    config = demo().override(settings)
    with pytest.raises(UserError, match=r"runtime\.allow=overlap") as raised:
        launch_evaluation(config, runtime, NullTracker())
    for text in texts:
        assert text in str(raised.value)
    allowed = runtime.override({"allow": "overlap"})
    (mark,) = overlap_tags(config, runtime=allowed).values()
    assert mark in str(raised.value)
    assert not any(tmp_path.rglob("*.pt"))


def test_a_network_that_is_not_pretrained_learns_nothing_from_the_pretrainings_data(
    tiny_world, tmp_path
):
    config = demo_random().override({"pretrained.data.split": "mini_val"})
    assert found(config, runtime_of(tiny_world, tmp_path)) == ""


def test_v1_0_mini_and_v1_0_trainval_share_scenes(tiny_world, tmp_path):
    root = tmp_path / "nuscenes"
    shutil.copytree(tiny_world / "v1.0-mini", root / "v1.0-mini")
    shutil.copytree(tiny_world / "v1.0-mini", root / "v1.0-trainval")
    config = demo_random().override({"val": Nuscenes(split="val")})  # of the 700 and 150
    text = found(config, runtime_of(root, tmp_path))
    assert text == "train has 2 of the 4 scenes of val (scene-0553, scene-0796)"


def test_names_that_differ_in_case_alone_are_one_scene(tiny_world, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_world / "v1.0-mini", other / "v1.0-mini")
    path = other / "v1.0-mini/scene.json"
    scenes = json.loads(path.read_text())
    path.write_text(json.dumps([{**one, "name": one["name"].upper()} for one in scenes]))
    learnt = {"split": "all", "version": "v1.0-mini", "root": str(other)}
    config = demo_random().override({"train": Nuscenes(**learnt)})
    with pytest.raises(UserError, match=r"2 of the 2 scenes of val \(scene-0103, there SCENE-0103"):
        overlap_tags(config, runtime=runtime_of(tiny_world, tmp_path))


def test_scenes_of_semantic_kitti_are_pieces_of_a_sequence(tmp_path):
    names = {f"{number:02d}": 2 for number in range(11)}
    SmallKitti(tmp_path / "kitti", names)
    runtime = runtime_of(tmp_path / "kitti", tmp_path)
    train, val = (SemanticKitti(split=split, allow_partial=True) for split in ("train", "val"))
    apart = demo_random().override({"pretrained.data": val, "train": train, "val": val})
    assert found(apart, runtime) == ""
    leak = apart.override({"train.split": "val", "train.frame_step": 2})
    assert found(leak, runtime) == "train has 1 of the 1 scenes of val (08-000000)"


def test_scenes_of_other_recordings_may_have_the_same_names():
    names = ("scene-0061", "scene-0103")
    seeds = [Synthetic(world=WorldConfig(seed=seed)).scene_source for seed in (0, 1)]
    sources = [*seeds, Nuscenes().scene_source, SemanticKitti().scene_source]
    assert len(set(sources)) == 4
    for one, two in itertools.combinations(sources, 2):
        first, second = SceneSet(one, "/data/a", names), SceneSet(two, "/data/b", names)
        assert not first.shared_with(second)
        assert first.shared_with(SceneSet(two, "/data/a", names[:1])) == {names[0]: names[0]}


def test_labels_of_the_truth_are_known_within_another_labeller():
    assert LidarsegTruth().depends_on_truth
    assert Regions(of=LidarsegTruth()).depends_on_truth
    assert not Regions(of=Embedded()).depends_on_truth


def test_a_pretraining_alone_is_compared_with_what_its_experiment_scores(
    tiny_world, tmp_path, caplog
):
    runtime = runtime_of(tiny_world, tmp_path)
    leak = demo().override({"pretrained.data.split": "mini_val"})
    with pytest.raises(UserError, match=r"pretrained\.data has 2 of the 2 scenes of val"):
        launch_pretraining(leak, runtime, NullTracker())
    gone = leak.override({"val.root": str(tmp_path / "nowhere"), "pretrained.num_epochs": 0})
    with caplog.at_level("INFO", "olivine"):
        launch_pretraining(gone.override(SMALL), runtime, NullTracker())
    assert "compared with the pretraining's by `olivine evaluate`" in caplog.text
    assert any(tmp_path.rglob("backbone.pt"))


def test_weights_know_the_scenes_behind_them(tiny_world, tmp_path):
    """They learn from the validation split, and are the start of another network."""
    runtime = runtime_of(tiny_world, tmp_path)
    start = demo_random().override(SMALL)
    launch_pretraining(start, runtime, NullTracker())
    (path,) = tmp_path.rglob("backbone.pt")
    state = torch.load(path, weights_only=True)
    assert state["scenes"] == []  # the network is random
    state["scenes"] = [{"source": "nuscenes", "names": ["scene-0103"]}]
    torch.save(state, tmp_path / "leaky.pt")
    config = start.override({"pretrained.backbone.weights": str(tmp_path / "leaky.pt")})
    text = "pretrained.backbone.weights has 1 of the 2 scenes of val (scene-0103)"
    assert found(config, runtime) == text
    launch_pretraining(config, runtime.override({"allow": "overlap"}), NullTracker())
    (second,) = set(tmp_path.rglob("backbone.pt")) - {path}
    assert torch.load(second, weights_only=True)["scenes"] == state["scenes"]


def test_a_sweep_is_refused_before_it_begins_and_names_the_trial(tiny_world, tmp_path):
    runtime = runtime_of(tiny_world, tmp_path)
    sweep = Sweep(
        name="leaky", question="?", metric="miou", recipe="demo_random", seeds=(0,),
        rows={"fair": {}, "leak": {"train.split": "all"}}, seed_names=("seed",),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"'leaky', trial 'leak, seed 0': .*train has 2 of the 2"):
        expand_sweep(sweep, demo_random(), runtime)
    expanded = expand_sweep(sweep, demo_random(), runtime.override({"allow": ["overlap"]}))
    assert [one.status for one in preview(expanded, NullTracker()).trials] == [
        "", "shares the pretraining of fair, seed 0; allowed: train has 2 of the 2 scenes of val "
        "(scene-0103, scene-0916)",
    ]  # fmt: skip
    marks = [expanded.tags_of(trial.config) for trial in expanded.trials]
    assert marks == [{}, {OVERLAP_TAG: "train has 2 of the 2 scenes of val (scene-0103, "
                                       "scene-0916)"}]  # fmt: skip


def test_an_allowed_score_is_marked_and_not_reused_where_overlap_is_not_allowed(
    tiny_world, tmp_path
):
    runtime = runtime_of(tiny_world, tmp_path)
    allowed, config = runtime.override({"allow": "overlap"}), demo_random().override(SMALL)
    leak = config.override({"train.split": "mini_val", "batch_frames": 4})
    tracker = open_run_store(runtime)
    first = launch_evaluation(leak, allowed, tracker)
    (record,) = tracker.records("evaluate")
    assert record.tags[OVERLAP_TAG] == first.overlap == found(leak, runtime) != ""
    with pytest.raises(UserError, match="scored on scenes that it learns from"):
        launch_evaluation(leak, runtime, tracker)
    again = launch_evaluation(leak, allowed, tracker)
    assert again.reused
    assert (again.scores, again.overlap) == (first.scores, first.overlap)
    data = ExperimentData.open(config, allowed)
    assert require_apart(config, data, allowed) == ""  # allowed, and not there


@pytest.mark.parametrize(
    ("train", "val", "shares"),
    [
        ({"split": "train"}, {"split": "val"}, False),
        ({"split": "val"}, {"split": "val"}, True),
        ({"split": "val", "scene_step": 10}, {"split": "val"}, True),
        ({"split": "val", "scene_step": 10}, {"split": "val", "scene_step": 7}, False),  # unknown
        ({"split": "val", "scene_step": 10}, {"split": "val", "scene_step": 10}, True),
        ({"split": "all"}, {"split": "val"}, True),
        ({"split": "train"}, {"split": "verifying"}, True),
        ({"split": "parametrizing"}, {"split": "verifying"}, False),
        ({"kind": "semantic_kitti", "split": "val", "frame_step": 7},
         {"kind": "semantic_kitti", "split": "val"}, True),
        ({"kind": "semantic_kitti"}, {"kind": "semantic_kitti", "split": "val"}, False),
        ({"kind": "synthetic", "split": "all", "world.seed": 1},
         {"kind": "synthetic", "split": "mini_val", "world.seed": 1}, True),
        ({"kind": "synthetic", "split": "all", "world.seed": 1},
         {"kind": "synthetic", "split": "mini_val", "world.seed": 2}, False),
        ({"kind": "a_package_that_is_gone"}, {"kind": "a_package_that_is_gone"}, False),
    ],
)  # fmt: skip
def test_of_an_earlier_versions_run_its_settings_say_what_can_be_known(train, val, shares):
    stored = {"pretrained.num_epochs": "0", "seed": "0"}
    for use, given in (("train", train), ("val", val), ("pretrained.data", val)):
        whole = {"kind": "nuscenes", **given}
        stored |= {f"{use}.{name}": str(value) for name, value in whole.items()}
    assert overlap_mark({}, stored) == ("train has scenes of val, by its settings" * shares)
    if val["split" if "split" in val else "kind"] == "val" and "scene_step" not in val:
        pretrained = overlap_mark({}, {**stored, "pretrained.num_epochs": "50"})
        assert pretrained.endswith("pretrained.data has scenes of val, by its settings")
    assert overlap_mark({OVERLAP_TAG: "as recorded"}, stored) == "as recorded"


def test_the_settings_that_are_read_are_those_of_recipes():
    for name in RECIPES:
        flat = recipe(name).setting_texts()
        assert {setting for setting in SETTINGS_READ if setting.endswith("kind")} <= flat.keys()
        assert overlap_mark({}, flat) == ""


def test_every_data_set_of_ours_has_a_source():
    for kind in Dataset.built_in:
        assert Dataset.from_dict({"kind": kind}).scene_source.startswith(kind)


@pytest.mark.parametrize(
    "words", [["pretrain", "demo"], ["sweep", "components", "--recipe", "demo", "--dry-run"]]
)
def test_a_command_ends_with_one_sentence(words, tiny_world, tmp_path, capsys):
    given = {"runtime.data_root": tiny_world, "runtime.out": tmp_path, "val.split": "mini_train",
             "runtime.cache_dir": tmp_path / "cache"}  # fmt: skip
    changes = [f"--set={name}={value}" for name, value in given.items()]
    assert cli.main([*words, *changes]) == cli.USER_ERROR
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert "has 8 of the 8 scenes of val (scene-0061, scene-0553, " in written.err
