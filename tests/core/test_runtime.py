from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime


def test_places_are_absolute_where_they_are_set_because_workers_have_other_folders(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    runtime = Runtime(out="runs")
    monkeypatch.chdir("/")
    assert runtime.out == str(tmp_path / "runs")
    assert runtime.store_uri() == f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"
    assert Path(Runtime().data_root).is_absolute()
    again = Runtime.from_dict(runtime.to_dict())
    assert again == runtime


def test_buckets_and_servers_stay_what_they_are():
    runtime = Runtime(out="s3://lab/runs", tracking_uri="http://mlflow:5000")
    assert runtime.out == "s3://lab/runs"
    assert runtime.store_uri() == "http://mlflow:5000"
    with pytest.raises(UserError, match=r"out=s3://lab/runs is a bucket, where no run store"):
        Runtime(out="s3://lab/runs").store_uri()


def test_a_data_root_is_a_folder_or_a_bucket():
    assert Runtime(data_root="s3://lab/nuscenes").data_path() == "s3://lab/nuscenes"
    assert Runtime(data_root="file:///data/nuscenes").data_path() == Path("/data/nuscenes")
    assert Runtime(data_root="/data/nuscenes").data_path() == Path("/data/nuscenes")
