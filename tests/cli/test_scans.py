"""`olivine embed` and `olivine predict`: what the library's functions write, from a command."""

import json
from pathlib import Path

import numpy as np
import pytest

from olivine.cli import main as cli
from olivine.inference import PointEncoder, load_backbone
from tests.support.run_stores.finished_runs import Finished


@pytest.fixture
def place(finished: Finished) -> list[str]:
    """Return the options that say where the finished runs and their data lie."""
    runtime = finished.runtime
    words = [f"out={runtime.out}", f"data_root={runtime.data_root}", "device=cpu"]
    words.append(f"cache_dir={runtime.cache_dir}")
    return [word for setting in words for word in ("--set", f"runtime.{setting}")]


@pytest.fixture
def scan(tiny_world: Path) -> Path:
    return min(tiny_world.glob("samples/LIDAR_TOP/*.pcd.bin"))


@pytest.fixture
def real_names(finished: Finished, scan: Path) -> dict[str, str]:
    """Return what RUN, a pretraining, and SCAN stand for."""
    return {"RUN": finished.pretrained(), "SCAN": str(scan)}


def test_features_of_a_file_are_those_of_the_encoder(finished, place, scan, tmp_path, capsys):
    command = ["embed", finished.pretrained(), str(scan), "--folder", str(tmp_path / "f"), *place]
    assert cli.main(command) == 0
    assert ": 1." in capsys.readouterr().out
    (path,) = (tmp_path / "f").glob("*.npz")
    written = np.load(path)
    encoder = PointEncoder(load_backbone(finished.pretrained(), out=finished.out), "cpu")
    assert np.array_equal(
        written["features"], encoder(written["xyz_m"], written["intensity"]), equal_nan=True
    )
    assert cli.main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["num_written"], again["num_kept"]) == (0, 1)


@pytest.mark.parametrize(
    ("option", "allowed"), [("--format", "npz, npy"), ("--dtype", "float"), ("--outside", "'near")]
)
def test_a_value_that_does_not_exist_is_told_by_its_option(
    option, allowed, place, real_names, capsys
):
    words = ["embed", real_names["RUN"], real_names["SCAN"], *place, option, "nosuch"]
    capsys.readouterr()
    assert cli.main(words) == cli.USER_ERROR
    assert f"olivine: {option} takes {allowed}" in capsys.readouterr().err


def test_a_split_is_predicted_in_its_benchmarks_format(finished, place, tmp_path, capsys):
    folder = tmp_path / "predictions"
    run = finished.probe.key.fingerprint
    words = ["predict", run, "--data", f"split={finished.probe_config.val.split}"]
    assert cli.main([*words, "--folder", str(folder), *place, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    files = sorted(folder.rglob("*_lidarseg.bin"))
    assert len(files) == written["num_written"] > 0
    assert all(np.fromfile(file, np.uint8).min() >= 1 for file in files)
    assert next(folder.rglob("submission.json")).is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["embed", "RUN"], "neither was given"),
        (["embed", "RUN", "SCAN", "--split", "val"], "both were given"),
        (["embed", "RUN", "SCAN", "--format", "txt"], "npz"),
        (["embed", "RUN", "SCAN", "--outside", "error"], "nearest"),
        (["embed", "0123456789ab", "SCAN"], "0123456789ab"),
        (["embed", "RUN", "nothing.bin"], "no scan nothing.bin"),
        (["predict", "RUN", "SCAN"], "evaluat"),
        (["embed", "RUN", "SCAN", "--set", "pretrained.seed=1"], "settings of runtime alone"),
        (["embed", "RUN", "--data", "splitt=val"], "split"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence, place, real_names, capsys):
    assert cli.main([*(real_names.get(word, word) for word in words), *place]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err, captured.err
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert captured.out == ""
