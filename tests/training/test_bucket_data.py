"""A data set in a bucket is the data set on disk: read, labelled and paired to the same bytes."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from olivine.cli.main import main
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.synthetic import Synthetic
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.samples import Samples, make_sample
from olivine.experiments.recipes import demo
from olivine.labels.config import LabelConfig
from olivine.labels.job import LabelResult, label
from olivine.labels.labellers.embedded import Embedded
from olivine.tracking.tracker import NullTracker
from olivine.training.config import label_config
from olivine.training.pretrain import pretrain
from olivine.training.pretrained_weights import load_weights
from olivine.training.worker import LocalWorker
from tests.support.image_folder import files_below
from tests.support.servers.bucket_server import BUCKET, bucket_files, copy_to_bucket, s3_server
from tests.support.small import SMALL

DATA = f"s3://{BUCKET}/data"
WORLD = WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120)
MINI = Nuscenes(version="v1.0-mini", split="mini_val", cameras=("CAM_FRONT", "CAM_BACK"))


@pytest.fixture(scope="module")
def server(tiny_world: Path) -> Iterator[str]:
    with s3_server() as address:
        copy_to_bucket(tiny_world, DATA)
        yield address


def run(root: object, out: object, tmp_path: Path) -> LabelResult:
    runtime = Runtime(data_root=str(root), out=str(out), cache_dir=str(tmp_path / "cache"))
    return label(LabelConfig(dataset=MINI, labeller=Embedded()), runtime, NullTracker())


def test_frames_of_a_bucket_are_those_of_the_disk(
    server: str, tiny_world: Path, tmp_path: Path
) -> None:
    local, remote = MINI.open(tiny_world, tmp_path / "one"), MINI.open(DATA, tmp_path / "two")

    assert (remote.fingerprint, remote.root) == (local.fingerprint, DATA)
    assert remote.image_names() == local.image_names()
    ours, theirs = local.frame(1), remote.frame(1)
    for image, other in zip(ours.images, theirs.images, strict=True):
        np.testing.assert_array_equal(image.pixels(), other.pixels())
    for name, value in vars(replace(ours, images=())).items():
        np.testing.assert_equal(getattr(replace(theirs, images=()), name), value)
    # Pretraining reads pairs through the same frames; loader processes read by themselves.
    samples = Samples(_Pairs(remote), [], seed=0)
    assert len(samples[0, 1].pairs) == len(make_sample(ours, None, local.camera_names).pairs) > 0
    assert not list((tmp_path / "two" / "nuscenes").glob(".tables-*")), "the copy is removed"


class _Pairs:
    def __init__(self, frames):
        self.frames = frames

    def __call__(self, index):
        return make_sample(self.frames.frame(index), None, self.frames.camera_names)


def test_a_later_start_copies_no_table(server: str, tmp_path: Path, monkeypatch) -> None:
    MINI.open(DATA, tmp_path)

    monkeypatch.setattr(Store, "copy", None)
    assert len(MINI.open(DATA, tmp_path)) == 4


def test_labels_from_bucket_to_bucket_are_those_of_the_disk(
    server: str, tiny_world: Path, tmp_path: Path
) -> None:
    out = f"s3://{BUCKET}/out"

    there = run(DATA, out, tmp_path)
    here = run(tiny_world, tmp_path / "out", tmp_path)

    assert there.num_labelled == here.num_labelled == 8
    assert bucket_files(out) == files_below(tmp_path / "out")
    assert there.path.startswith(f"{out}/labels/")
    assert there.quality == here.quality
    assert there.quality.pixels is not None, "a synthetic world's truth is read from there too"


def test_a_bucket_of_labels_resumes_and_remembers_failures(
    server: str, tiny_world: Path, tmp_path: Path
) -> None:
    out, world = f"s3://{BUCKET}/again", f"s3://{BUCKET}/broken"
    copy_to_bucket(tiny_world, world)
    name = MINI.open(world, tmp_path).image_names()[3]
    whole = Store(world).read(name)
    Store(world).write(name, whole[:100])

    first = run(world, out, tmp_path)
    assert (first.num_labelled, set(first.failed)) == (7, {name})
    assert f"{world}/{name} cannot be decoded" in first.failed[name]
    lost = sorted(map_name for map_name in bucket_files(out) if map_name.endswith(".png"))[0]
    Store(out).delete(lost)
    second = run(world, out, tmp_path)
    assert (second.num_done_before, second.num_labelled) == (6, 1)
    assert second.num_failed == 1


@pytest.mark.slow
def test_pretraining_from_bucket_to_bucket_gives_the_same_weights(
    server: str, tiny_world: Path, tmp_path: Path
) -> None:
    """With loader processes, which are forked from one that has a connection."""
    config = demo().override({**SMALL, "pretrained.num_epochs": 1}).pretrained
    weights = []
    for root, out, num_loaders in (
        (DATA, f"s3://{BUCKET}/trained", 2),
        (tiny_world, tmp_path / "out", 0),
    ):
        runtime = Runtime(
            data_root=str(root), out=str(out), cache_dir=str(tmp_path), device="cpu",
            num_loader_workers=num_loaders,
        )  # fmt: skip
        label(label_config(config), runtime, NullTracker())
        result = pretrain(config, runtime, LocalWorker(), NullTracker())
        backbone = config.backbone.build(1)
        assert isinstance(backbone, nn.Module)
        load_weights(Store(out), result.weights, backbone, torch.device("cpu"))
        weights.append(backbone.state_dict())
        assert result.num_steps == 4
        assert pretrain(config, runtime, LocalWorker(), NullTracker()).num_steps == 0
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_synthetic_world_is_known_in_a_bucket(server: str, tmp_path: Path) -> None:
    assert len(Synthetic(split="mini_val", world=WORLD).open(DATA, tmp_path)) == 4
    other = Synthetic(split="mini_val", world=WORLD.override({"seed": 5}))
    with pytest.raises(UserError, match=rf"olivine data synth FOLDER .* copy the folder to {DATA}"):
        other.open(DATA, tmp_path)


def test_what_is_wrong_with_a_bucket_of_data_is_one_sentence(
    server: str, tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainval = Nuscenes(version="v1.0-trainval", split="val")
    with pytest.raises(UserError, match=rf"No v1\.0-trainval in {DATA}; it has v1\.0-mini"):
        trainval.open(DATA, tmp_path)
    with pytest.raises(UserError, match=r"No v1\.0-mini in s3://.*not the root of a nuScenes"):
        MINI.open(f"s3://{BUCKET}/nowhere", tmp_path)
    broken = f"s3://{BUCKET}/tables"
    copy_to_bucket(tiny_world / "v1.0-mini", f"{broken}/v1.0-mini")
    Store(broken).write("v1.0-mini/scene.json", b"[{]")
    with pytest.raises(UserError, match=rf"{broken}/v1\.0-mini/scene\.json is broken JSON"):
        MINI.open(broken, tmp_path)
    Store(broken).delete("v1.0-mini/scene.json")
    with pytest.raises(UserError, match=rf"The table {broken}/v1\.0-mini/scene\.json is missing"):
        MINI.open(broken, tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        began_s = time.monotonic()
        for dataset in (MINI, Synthetic(split="mini_val", world=WORLD)):
            with pytest.raises(
                UserError, match=rf"Cannot .* {DATA}/.*: no server answers at http:"
            ):
                dataset.open(DATA, tmp_path)
        assert time.monotonic() - began_s < 20


def test_a_table_is_not_written_to_a_bucket(server: str, tmp_path: Path, capsys) -> None:
    store = f"runtime.tracking_uri=sqlite:///{tmp_path}/mlflow.db"
    out = f"runtime.out=s3://{BUCKET}/out"
    assert main(["table", "components", "--set", out, "--set", store]) == 2
    assert "give --folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "synth"])
def test_commands_of_local_folders_refuse_a_bucket(command: str, capsys) -> None:
    assert main(["data", command, DATA]) == 2
    assert f"works on a local folder, and {DATA} is a bucket" in capsys.readouterr().err
