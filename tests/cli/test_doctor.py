"""The doctor says what is missing and the command that mends it."""

import json

import pytest

from olivine.cli import main as cli
from olivine.core.runtime import Runtime
from olivine.runners import doctor


def findings(runtime: Runtime) -> dict[str, doctor.Finding]:
    return {f"{one.area} {one.name}": one for one in doctor.examine(runtime)}


def test_a_machine_that_can_run_is_well(tiny_world, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    words = [f"--set=runtime.out={tmp_path}", f"--set=runtime.data_root={tiny_world}"]
    assert cli.main(["doctor", *words]) == 0
    said = capsys.readouterr().out
    for name in (
        "torch",
        "ray",
        "mlflow",
        "nuScenes, v1.0-mini",
        "will be created by the first run",
    ):
        assert name in said
    assert cli.main(["doctor", "--json", *words]) == 0
    assert {one["state"] for one in json.loads(capsys.readouterr().out)} <= {"ok", "note"}


@pytest.mark.parametrize(
    ("settings", "name", "state", "words"),
    [
        ({"data_root": "/nowhere"}, "data /nowhere", "note", "is not there"),
        ({"out": "/dev/null/olivine"}, "disk runtime.out", "missing", "cannot be written"),
        ({"ray_address": "127.0.0.1:1"}, "Ray 127.0.0.1:1", "missing", "does not answer"),
        ({"out": "s3://bucket/x"}, "store runs", "missing", "runtime.tracking_uri"),
        (
            {"tracking_uri": "http://127.0.0.1:1"},
            "store http://127.0.0.1:1",
            "missing",
            "No MLflow server answers",
        ),
    ],
)
def test_what_is_missing_is_told(settings, name, state, words):
    found = findings(Runtime.from_dict(settings))[name]
    assert found.state == state
    assert words in found.detail


def test_what_an_extra_brings_is_looked_for(monkeypatch):
    real = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "timm" else real(name)
    )
    teachers = findings(Runtime())["extra teachers"]
    assert teachers.state == "note"
    assert teachers.fix == "pip install 'olivine[teachers]'"
