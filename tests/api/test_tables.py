"""A sweep's table as a pandas frame."""

import io

import pandas as pd
import pytest

import olivine
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.results.tables.formats import CSV_COLUMNS
from olivine.results.tables.write import write_results
from olivine.tracking.run_store import open_run_store
from tests.support.run_stores.filled_store import write_ablation


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("out")
    write_ablation(folder, {"+ vMF, seed 1": "out of memory"})
    return folder


def test_the_long_layout_is_the_tables_csv(out, tmp_path):
    runtime = Runtime(out=str(out))
    write_results("small", runtime, open_run_store(runtime), tmp_path, formats=["csv"])
    written = pd.read_csv(tmp_path / "ablation.csv")
    frame = olivine.table("small", out=out)
    assert list(frame.columns) == list(CSV_COLUMNS)
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    pd.testing.assert_frame_equal(again, written)
    scores = frame.set_index(["method", "metric"])["mean"]
    assert scores["OLIVINE", "miou"] == 30.5
    assert frame.set_index(["method", "metric"])["n"]["+ vMF", "miou"] == 1


def test_the_wide_layout_has_a_line_for_each_row(out):
    frame = olivine.table("small", layout="wide", out=out)
    assert frame.index.tolist() == ["random", "+ vMF", "OLIVINE"]
    assert frame.columns.tolist() == ["miou", "accuracy"]
    assert frame.loc["random", "miou"] == 20.5
    by_seed = olivine.table("small", columns=["seed"], metrics="miou", layout="wide", out=out)
    assert by_seed.columns.tolist() == [("0", "miou"), ("1", "miou")]
    assert by_seed.loc["OLIVINE", ("1", "miou")] == 31.0
    assert pd.isna(by_seed.loc["+ vMF", ("1", "miou")])


def test_a_baseline_compares_and_all_trials_are_a_table(out):
    frame = olivine.table("small", baseline="random", metrics=["miou"], out=out)
    compared = frame.set_index("method")
    assert compared.loc["OLIVINE", "difference"] == 10.0
    everything = olivine.table(out=out)  # these trials belong to no sweep's run
    assert set(everything["method"]) == {f"–, {row}" for row in ("random", "+ vMF", "OLIVINE")}


def test_what_there_is_not_is_told(out, tmp_path):
    with pytest.raises(UserError, match="No sweep 'smal'"):
        olivine.table("smal", out=out)
    with pytest.raises(UserError, match="layout takes 'long' or 'wide'"):
        olivine.table("small", out=out, layout="tall")
    with pytest.raises(UserError, match="No run has a metric 'miuo'"):
        olivine.table("small", metrics=["miuo"], out=out)
    with pytest.raises(UserError, match="There is no run store at"):
        olivine.table("small", out=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
