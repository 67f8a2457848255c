"""`olivine report` and `olivine compare` as a person types them."""

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from olivine.cli import main as cli
from olivine.cli.report import runtime_words
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.experiments.requests import ExperimentRequest
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey
from tests.support.run_stores.filled_store import write_ablation


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    write_ablation(folder, {"OLIVINE, seed 1": "out of memory"})
    return folder


def artifact(out: Path, name: str) -> str:
    """Return a file that is kept with the run of the sweep."""
    store = f"sqlite:///{out}/mlflow.db"
    (sweep,) = MlflowTracker(store).records("sweep")
    return mlflow.artifacts.load_text(
        f"{MlflowClient(store).get_run(sweep.run_id).info.artifact_uri}/{name}"
    )


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(words)
    written = capsys.readouterr()
    return status, written.out, written.err


def test_a_report_is_one_file_where_it_is_asked_for(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = f"--set=runtime.out={out}"
    status, told, _ = ask(capsys, "report", "small", "--baseline", "random", setting)
    page = out / "reports" / "small.html"
    assert status == 0
    assert f"Wrote {page}" in told
    assert "5 of 6 trials" in told
    assert artifact(out, "report/small.html") == page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ["small.html"]
    text = page.read_text()
    assert "Differences" in text
    assert f"--set runtime.out={out}" in text
    assert ask(capsys, "report", "small", f"--folder={tmp_path / 'new'}", setting)[0] == 0
    assert (tmp_path / "new" / "small.html").exists()


def test_mistakes_are_one_line(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    setting = f"--set=runtime.out={out}"
    for words, expected in (
        (["report", "smal", setting], "Did you mean 'small'?"),
        (["report", "small", "--baseline=PKT", setting], "No row 'PKT'"),
        (["report", "small", f"--folder={tmp_path / 'file'}", setting], "Cannot write"),
        (["report", "small", "--folder=s3://bucket/x", setting], "to a local folder"),
        (["compare", "zzzz", "yyyy", setting], "begins with 'zzzz'"),
        (["compare", "0", "0", setting], "give more of its characters"),
    ):
        status, told, mistake = ask(capsys, *words)
        assert (status, told) == (cli.USER_ERROR, "")
        assert expected in mistake
        assert mistake.count("\n") == 1


def test_two_runs_are_compared_by_their_fingerprints(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = MlflowTracker(f"sqlite:///{out}/mlflow.db").records("trial")
    prints = {run.name: run.key.fingerprint for run in trials}
    words = [prints[f"trial {row}, seed 0"] for row in ("random", "OLIVINE")]
    status, told, _ = ask(capsys, "compare", *words, f"--set=runtime.out={out}")
    assert status == 0
    assert "evaluate random, seed 0" in told
    settings = told[told.index("settings") : told.index("code")]
    assert settings.split() == ["settings", "pretrained.num_epochs", "0", "6"]
    assert f"p{words[0]}" in told, "each has a pretraining of its own"
    assert "environment: nothing differs" in told


def test_the_data_sets_that_runs_read_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", system_period_s=0.0)
    tracker.ensure_store()
    for fingerprint, digest in (("aa", "d1"), ("bb", "d2")):
        with tracker.run(RunKey("evaluate", fingerprint), "name", Spec()) as run:
            run.log_dataset("nuscenes", digest, "/data", "train")
            run.log_dataset("nuscenes", "same", "/data", "val")
    status, told, _ = ask(capsys, "compare", "aa", "bb", f"--set=runtime.out={tmp_path}")
    assert status == 0
    assert "  data.train  d1  d2\n" in told
    assert "data.val" not in told
    assert "Equal settings but other fingerprints" in told


def test_commands_name_only_what_a_runtime_changes() -> None:
    assert runtime_words(Runtime()) == []
    runtime = Runtime(allow=("fewer_pairs", "absent_classes"), num_workers=2)
    words = runtime_words(runtime)
    assert words == ["--set", "runtime.num_workers=2",
                     "--set", "runtime.allow=fewer_pairs,absent_classes"]  # fmt: skip
    assert ExperimentRequest("demo", settings=tuple(words[1::2])).resolve()[1] == runtime
