"""Runs of every sort, and the questions that two readers of one store must answer alike."""

import math

from olivine.core.spec import Spec
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.sql_reader import Query, Reader
from olivine.tracking.tracker import STAGE, Columns, RunKey

VALUES = {"nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "one": 1.0, "last": 3.0}
IN_DELETED = "about in a deleted experiment"


class Settings(Spec):
    seed: int = 0
    rate: float = 1e-4


def both_read_the_same(tracker: MlflowTracker, tables: Reader, client: Reader) -> None:
    """Fill the store, delete some of it and compare what the readers give; it must be right too."""
    _fill(tracker)
    columns = Columns(settings=["rate"], metrics=["one", "nan", "unknown"], tags=["n"])
    for query in (
        Query({STAGE: "compared"}),
        Query({STAGE: "compared", "quoted": "it's"}, status="FINISHED"),
        Query({STAGE: "compared"}, fingerprints=["b", "gone", "never"]),
        Query({STAGE: "compared"}, fingerprints=["a", *map(str, range(600))]),
        Query({STAGE: "compared"}, fingerprints=[]),
        Query({STAGE: "compared"}, columns=columns),
        Query({STAGE: "compared"}, columns=Columns(settings=(), metrics=(), tags=())),
        Query({STAGE: "nothing"}),
        Query({STAGE: "compared"}, status="FAILED"),
        Query(),
    ):
        here, there = tables.records(query), client.records(query)
        assert list(map(repr, here)) == list(map(repr, there)), query  # nan is not itself
    found = {run.name: run for run in tables.records(Query({STAGE: "compared"}))}
    assert set(found) == {"a", "b", "failed"}
    assert _texts(found["a"].metrics) == _texts(VALUES)
    assert found["b"].tags["mlflow.parentRunId"] == found["a"].run_id
    assert found["failed"].status == "FAILED"
    ids = [run.run_id for run in found.values()]
    for metric in ("inf", "nan", "last", "never logged"):
        assert repr(tables.histories(ids, metric)) == repr(client.histories(ids, metric))
    assert tables.histories(ids, "last")[found["a"].run_id] == {0: 2.0, 1: 3.0}


def _fill(tracker: MlflowTracker) -> None:
    parent = ""
    for name in ("a", "b", "gone", "in a deleted experiment"):
        here = tracker.within(parent, {"n": 1, "quoted": "it's"}, experiment=f"about {name}")
        with here.run(RunKey("compared", name), name, Settings(seed=len(name))) as run:
            run.log_metrics(dict.fromkeys(VALUES, 2.0), 0)
            run.log_metrics(VALUES, 1)
        parent = run.run_id
    try:
        with tracker.run(RunKey("compared", "failed"), "failed", Settings()):
            raise ValueError("It's broken.")
    except ValueError:
        pass
    client = open_client(tracker.uri)
    (gone,) = tracker.records("compared", fingerprints=["gone"])
    client.delete_run(gone.run_id)
    client.delete_experiment(client.get_experiment_by_name(IN_DELETED).experiment_id)
    client.create_run("0", run_name="of somebody else", tags={"theirs": "yes"})


def _texts(values: dict[str, float]) -> dict[str, str]:
    return {name: repr(value) for name, value in values.items()}
