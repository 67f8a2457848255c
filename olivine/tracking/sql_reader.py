"""Reads runs directly from the tables of MLflow's database, and only the requested values.

MLflow's own search builds an object for every value of every run, which takes minutes for ten
thousand runs. Four plain queries take seconds, without importing MLflow, and return the same. Where
the tables are not as expected, `SqlReader` raises UnreadableError and MLflow's client is used.
"""

import contextlib
import functools
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from olivine.tracking.store_uri import sqlite_path
from olivine.tracking.tracker import ALL_COLUMNS, FINGERPRINT, STAGE, Columns, RunKey, RunRecord

# MLflow's tables, reduced to the columns that are read.
RUNS = sa.table(
    "runs",
    *map(
        sa.column,
        ("run_uuid", "name", "status", "start_time", "end_time", "lifecycle_stage"),
    ),
    sa.column("experiment_id"),
)
EXPERIMENTS = sa.table("experiments", *map(sa.column, ("experiment_id", "name", "lifecycle_stage")))
PARAMS = sa.table("params", *map(sa.column, ("run_uuid", "key", "value")))
TAGS = sa.table("tags", *map(sa.column, ("run_uuid", "key", "value")))
LATEST = sa.table("latest_metrics", *map(sa.column, ("run_uuid", "key", "value", "is_nan")))
POINTS = sa.table(
    "metrics", *map(sa.column, ("run_uuid", "key", "value", "is_nan", "step", "timestamp"))
)

LARGEST = 1.7976931348623157e308  # stands for an infinite value in MLflow's databases
MANY_NAMES = 500  # in a list of one query; a longer list is applied after reading
SQLITE_TIMEOUT_S = 20


@dataclass(frozen=True)
class Query:
    """A selection of runs and of their values."""

    tags: Mapping[str, str] = field(default_factory=dict)
    status: str = ""
    fingerprints: Collection[str] | None = None
    columns: Columns = ALL_COLUMNS


@runtime_checkable
class Reader(Protocol):
    """Reads the runs of a run store."""

    def records(self, query: Query) -> list[RunRecord]:
        """Return the runs that fit a query, newest first."""
        ...

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return a metric's values by run id and step, of the runs that have it."""
        ...


class UnreadableError(Exception):
    """The database is not there, or its tables are not as expected."""


@dataclass(frozen=True)
class SqlReader:
    """Reads runs from a SQLite file or another SQL database; it writes nothing."""

    uri: str

    def records(self, query: Query) -> list[RunRecord]:
        """Return the runs that fit a query, newest first."""
        columns, chosen = query.columns, _chosen(query)
        tags = None if columns.tags is None else {*columns.tags, STAGE, FINGERPRINT}
        with _reading(self.uri) as connection:
            runs = connection.execute(
                sa.select(
                    RUNS.c.run_uuid, RUNS.c.name, RUNS.c.status, EXPERIMENTS.c.name,
                    RUNS.c.start_time, RUNS.c.end_time,
                ).join_from(RUNS, EXPERIMENTS, RUNS.c.experiment_id == EXPERIMENTS.c.experiment_id)
                .where(*chosen).order_by(RUNS.c.start_time.desc(), RUNS.c.run_uuid)
            ).all()  # fmt: skip
            found = {run[0] for run in runs}

            def read(table: sa.TableClause, names: Collection[str] | None) -> dict[str, Any]:
                return _values(connection, table, names, chosen, found)

            settings, metrics = read(PARAMS, columns.settings), read(LATEST, columns.metrics)
            tagged = read(TAGS, tags)
        records = (
            record_of(
                run[0],
                run[1:4],
                run[4:6],
                (settings.get(run[0], {}), metrics.get(run[0], {}), tagged[run[0]]),
                columns,
            )
            for run in map(tuple, runs)
            if FINGERPRINT in tagged.get(run[0], {})
        )
        wanted = query.fingerprints
        return [one for one in records if wanted is None or one.key.fingerprint in wanted]

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return a metric's values by run id and step, of the runs that have it."""
        points: dict[str, list[tuple[int, int, float]]] = {}
        with _reading(self.uri) as connection:
            for some in _some(run_ids):
                rows = connection.execute(
                    sa.select(
                        POINTS.c.run_uuid, POINTS.c.step, POINTS.c.timestamp, POINTS.c.value,
                        POINTS.c.is_nan,
                    ).where(POINTS.c.run_uuid.in_(some), POINTS.c.key == metric)
                )  # fmt: skip
                for run_id, step, time_ms, value, is_nan in rows:
                    readable_value = math.nan if is_nan else readable(value)
                    points.setdefault(run_id, []).append((step, time_ms, readable_value))
        return {run_id: last_by_step(points[run_id]) for run_id in run_ids if run_id in points}

    def has_tables(self) -> bool:
        """Return whether the database has MLflow's tables."""
        try:
            with _reading(self.uri) as connection:
                connection.execute(sa.select(RUNS.c.run_uuid).limit(1))
        except UnreadableError:
            return False
        return True


def record_of(
    run_id: str,
    info: tuple[str, str, str],
    times_ms: tuple[int, int | None],
    values: tuple[Mapping[str, str], Mapping[str, float], Mapping[str, str]],
    columns: Columns,
) -> RunRecord:
    """Return the record of a run.

    `info` is its name, status and experiment, `times_ms` its start and end, `values` its settings,
    metrics and tags, of which `columns` are kept.
    """
    settings, metrics, tags = values
    return RunRecord(
        run_id=run_id,
        key=RunKey(tags.get(STAGE, ""), tags.get(FINGERPRINT, "")),
        name=info[0],
        status=info[1],
        settings=_only(settings, columns.settings),
        metrics={name: readable(value) for name, value in _only(metrics, columns.metrics).items()},
        tags=_only(tags, columns.tags),
        experiment=info[2],
        start_s=times_ms[0] / 1000,
        end_s=None if times_ms[1] is None else times_ms[1] / 1000,
    )


def readable(value: float) -> float:
    """Return a metric's value as it was logged; databases hold no infinite values."""
    return math.copysign(math.inf, value) if abs(value) == LARGEST else value


def last_by_step(points: Iterable[tuple[int, int, float]]) -> dict[int, float]:
    """Return values by step from (step, time, value); of a step logged twice, the later value."""
    in_order = sorted(points, key=lambda point: point[1])
    return dict(sorted({step: value for step, _, value in in_order}.items()))


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[sa.Connection]:
    path = sqlite_path(uri)
    if path is not None and not path.exists():  # connecting would make an empty file
        raise UnreadableError(f"there is no {path}")
    try:
        with _engine(uri).connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        raise UnreadableError(str(error)) from error


@functools.lru_cache(maxsize=8)
def _engine(uri: str) -> sa.Engine:
    """Return an engine without a pool, so that no connection is shared with a forked process."""
    is_sqlite = sqlite_path(uri) is not None
    return sa.create_engine(
        uri,
        poolclass=NullPool,
        connect_args={"timeout": SQLITE_TIMEOUT_S} if is_sqlite else {},
    )


def _chosen(query: Query) -> list[sa.ColumnElement[bool]]:
    """Return a query's conditions on the table `RUNS`."""
    active = sa.select(EXPERIMENTS.c.experiment_id).where(EXPERIMENTS.c.lifecycle_stage == "active")
    conditions = [RUNS.c.lifecycle_stage == "active", RUNS.c.experiment_id.in_(active)]
    if query.status:
        conditions.append(RUNS.c.status == query.status)
    for tag, value in query.tags.items():
        conditions.append(_tagged(tag, TAGS.c.value == value))
    if query.fingerprints is not None and len(query.fingerprints) <= MANY_NAMES:
        conditions.append(_tagged(FINGERPRINT, TAGS.c.value.in_(list(query.fingerprints))))
    return conditions


def _tagged(tag: str, holds: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return RUNS.c.run_uuid.in_(sa.select(TAGS.c.run_uuid).where(TAGS.c.key == tag, holds))


def _values(
    connection: sa.Connection,
    table: sa.TableClause,
    names: Collection[str] | None,
    chosen: list[sa.ColumnElement[bool]],
    found: Collection[str],
) -> dict[str, dict[str, Any]]:
    """Return the values of the chosen runs by run id and name."""
    if (names is not None and not names) or not found:
        return {}
    query = sa.select(table)
    if len(found) <= MANY_NAMES:
        query = query.where(table.c.run_uuid.in_(list(found)))
    else:
        query = query.where(table.c.run_uuid.in_(sa.select(RUNS.c.run_uuid).where(*chosen)))
    if names is not None and len(names) <= MANY_NAMES:
        query = query.where(table.c.key.in_(list(names)))
    values: dict[str, dict[str, Any]] = {}
    rows = connection.execution_options(stream_results=True).execute(query)
    if table is LATEST:
        for run_id, name, value, is_nan in rows:
            values.setdefault(run_id, {})[sys.intern(name)] = math.nan if is_nan else value
    else:
        for run_id, name, value in rows:
            values.setdefault(run_id, {})[sys.intern(name)] = value
    return values


def _only(values: Mapping[str, Any], names: Collection[str] | None) -> Mapping[str, Any]:
    if names is None:
        return values
    return {name: values[name] for name in names if name in values}


def _some(names: Collection[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while some := list(islice(rest, MANY_NAMES)):
        yield some
