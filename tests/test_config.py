from pathlib import Path

from olivine.config import Runtime


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
