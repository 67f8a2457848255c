"""A search's points, its own and those it took over, in a real store."""

from pathlib import Path

from olivine.core.spec import Spec
from olivine.experiments.search_points import points_of, taken_tag
from olivine.experiments.sweep import Trial
from olivine.experiments.sweep_plan import POINT, ROW, SEED, SWEEP_RUN
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey


def test_points_taken_over_have_the_searchs_own_number_and_row(tmp_path: Path) -> None:
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", cache=str(tmp_path / "cache"))
    tracker.ensure_store()
    other = {ROW: "another row", SEED: "7", POINT: "9", SWEEP_RUN: "of another"}
    with tracker.run(RunKey("trial", "theirs"), "theirs", Spec(), other) as run:
        run.log_metrics({"miou": 40.0}, 0)
    with tracker.run(RunKey("sweep", "s"), "search", Spec()) as sweep:
        own = {ROW: "a", SEED: "0", POINT: "1", SWEEP_RUN: sweep.run_id}
        with tracker.run(RunKey("trial", "own"), "own", Spec(), own):
            pass
        tag = taken_tag(Trial("b", 0, Spec(), "theirs"), 2)
        points = {run.key.fingerprint: run for run in points_of(sweep.run_id, tracker, tag)}
        sweep.set_tags(tag)
    assert points.keys() == {"own", "theirs"}
    assert [points["theirs"].tags[name] for name in (ROW, SEED, POINT)] == ["b", "0", "2"]
    assert points["theirs"].metrics["miou"] == 40.0
    assert points["theirs"].tags[SWEEP_RUN] == "of another"
    again = {run.key.fingerprint: run for run in points_of(sweep.run_id, tracker)}
    assert again["theirs"] == points["theirs"]
    assert [run.key.fingerprint for run in points_of("no such run", tracker)] == []
