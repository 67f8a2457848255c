"""Where a run happens: what each setting takes."""

from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime

NEVER_NEGATIVE = (
    "max_failures",
    "num_loader_workers",
    "save_every_steps",
    "loader_cache_mb",
    "probe_every_epochs",
    "label_batch_size",
    "usd_per_gpu_hour",
    "not_before_s",
    "max_concurrent_trials",
)
AT_LEAST_ONE = ("num_workers", "num_label_actors", "min_label_actors")
MORE_THAN_NOTHING = ("gpus_per_label_actor", "gpus_per_trial")


def refused(name: str, value: float) -> str:
    """Return what is said of a value that a setting does not take."""
    with pytest.raises(UserError) as raised:
        Runtime().override({name: value})
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in AT_LEAST_ONE for value in (0, -2)]
    + [(name, value) for name in MORE_THAN_NOTHING for value in (0, -1)]
    + [(name, -1) for name in NEVER_NEGATIVE],
)
def test_a_number_that_makes_no_sense_is_refused_with_what_is_allowed(
    name: str, value: float
) -> None:
    text = refused(name, value)
    assert name in text, text
    assert "greater than" in text, text
    assert f"given {value}" in text, text


def test_every_number_of_the_runtime_has_its_bounds() -> None:
    numbers = {
        name for name, field in Runtime.model_fields.items() if field.annotation in (int, float)
    }
    told = {*NEVER_NEGATIVE, *AT_LEAST_ONE, *MORE_THAN_NOTHING, "max_failed_share", "probe_frames"}
    assert numbers | {"num_loader_workers"} == told


def test_nothing_is_a_number_of_loaders_and_of_megabytes() -> None:
    runtime = Runtime().override({"num_loader_workers": 0, "loader_cache_mb": 0})
    assert (runtime.num_loader_workers, runtime.loader_cache_mb) == (0, 0)


@pytest.mark.parametrize(("given", "kept"), [("auto", "auto"), (3, 3), ("3", 3), (2.0, 2)])
def test_the_number_of_loaders_is_a_number_or_left_to_the_machine(given, kept) -> None:
    runtime = Runtime(num_loader_workers=given)
    assert runtime.num_loader_workers == kept
    assert Runtime.from_dict(runtime.to_dict()) == runtime
    assert runtime.override({"num_loader_workers": "auto"}) == Runtime()


@pytest.mark.parametrize("given", [True, "many", 1.5, None])
def test_other_numbers_of_loaders_are_one_sentence(given) -> None:
    with pytest.raises(UserError, match=r"num_loader_workers': is auto or a whole number"):
        Runtime().override({"num_loader_workers": given})


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
