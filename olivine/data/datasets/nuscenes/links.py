"""Links between the tables of nuScenes: every row that another row names must exist.

Tokens are kept as arrays, because v1.0-trainval has 2,631,083 rows of sample_data.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes.tables import TableRow, read_rows

_BLOCK_ROWS = 100_000


@dataclass(frozen=True)
class Problem:
    """One fault of a data set."""

    path: Path
    kind: str  # "missing file", "broken link", ...
    detail: str


@dataclass(frozen=True)
class _Links:
    """The fields of one table that name rows of other tables."""

    to: dict[str, str] = field(default_factory=dict)  # field -> table
    may_be_empty: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()  # fields that hold several tokens
    chained_by: str = ""  # rows that share this field form one chain of prev and next
    ends: tuple[str, str, str] | None = None  # first, last and number of the rows it owns
    owned_by: str = ""  # field by which the rows of `ends` name their owner
    needed: bool = True  # whether the table must be there


LINKS: dict[str, _Links] = {
    "category": _Links(),
    "attribute": _Links(),
    "visibility": _Links(),
    "sensor": _Links(),
    "ego_pose": _Links(),
    "log": _Links(),
    "map": _Links({"log_tokens": "log"}, lists=("log_tokens",)),
    "calibrated_sensor": _Links({"sensor_token": "sensor"}),
    "scene": _Links(
        {"log_token": "log", "first_sample_token": "sample", "last_sample_token": "sample"},
        ends=("first_sample_token", "last_sample_token", "nbr_samples"),
        owned_by="sample.scene_token",
    ),
    "sample": _Links({"scene_token": "scene"}, chained_by="scene_token"),
    "sample_data": _Links(
        {
            "sample_token": "sample",
            "ego_pose_token": "ego_pose",
            "calibrated_sensor_token": "calibrated_sensor",
        },
        chained_by="calibrated_sensor_token",
    ),
    "instance": _Links(
        {
            "category_token": "category",
            "first_annotation_token": "sample_annotation",
            "last_annotation_token": "sample_annotation",
        },
        ends=("first_annotation_token", "last_annotation_token", "nbr_annotations"),
        owned_by="sample_annotation.instance_token",
    ),
    "sample_annotation": _Links(
        {
            "sample_token": "sample",
            "instance_token": "instance",
            "visibility_token": "visibility",
            "attribute_tokens": "attribute",
        },
        may_be_empty=("visibility_token",),
        lists=("attribute_tokens",),
        chained_by="instance_token",
    ),
    "lidarseg": _Links({"sample_data_token": "sample_data"}, needed=False),
    "panoptic": _Links({"sample_data_token": "sample_data"}, needed=False),
}


class TableLinks:
    """The tokens of one table: its own and those of every field that names another row."""

    def __init__(self, folder: Path, table: str):
        links = LINKS[table]
        self.path = folder / f"{table}.json"
        names = ["token", *links.to, *(("prev", "next") if links.chained_by else ())]
        numbers = [links.ends[2]] if links.ends else []
        self._fields: dict[str, np.ndarray] = {}
        # Lists are concatenated; `rows` holds the row of each of their tokens.
        self.rows: dict[str, np.ndarray] = {}
        blocks = list(_blocks(folder, table, names, numbers, links.lists))
        for name in (*names, *numbers):
            parts = [block[name] for block in blocks]
            self._fields[name] = np.concatenate(parts) if parts else np.zeros(0, "S1")
        for name in links.lists:
            counts = np.concatenate([block[f"{name} count"] for block in blocks] or [[]])
            self.rows[name] = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
        self._order = np.argsort(self["token"], kind="stable")
        self._sorted = self["token"][self._order]

    def __getitem__(self, name: str) -> np.ndarray:
        return self._fields[name]

    def __len__(self) -> int:
        return len(self["token"])

    def find(self, tokens: np.ndarray) -> np.ndarray:
        """Return the row of each token, or -1 where there is none."""
        if not len(self):
            return np.full(len(tokens), -1)
        position = np.minimum(np.searchsorted(self._sorted, tokens), len(self) - 1)
        return np.where(self._sorted[position] == tokens, self._order[position], -1)

    def twice(self) -> np.ndarray:
        """Return the rows whose token an earlier row has."""
        return self._order[1:][self._sorted[1:] == self._sorted[:-1]]

    def row(self, row: int) -> str:
        """Return a row's name for messages."""
        return f"row {row} ({_text(self['token'][row])})"


def check_links(folder: Path) -> tuple[list[Problem], dict[str, TableLinks]]:
    """Return every fault of the tables, and the tables that could be read."""
    problems: list[Problem] = []
    tables: dict[str, TableLinks] = {}
    for name, links in LINKS.items():
        path = folder / f"{name}.json"
        if not path.exists():
            if links.needed:
                problems.append(
                    Problem(path, "missing table", "this version of the data set must have it")
                )
            continue
        try:
            tables[name] = TableLinks(folder, name)
        except UserError as error:
            problems.append(Problem(path, "unreadable table", str(error)))
    for name, table in tables.items():
        problems += [
            Problem(table.path, "identity used twice", table.row(row))
            for row in table.twice().tolist()
        ]
        problems += _broken_links(name, tables)
        if LINKS[name].chained_by:
            problems += _broken_chains(name, table)
        if LINKS[name].ends:
            problems += _wrong_ends(name, tables)
    problems += _logs_without_map(tables)
    return problems, tables


def _broken_links(name: str, tables: dict[str, TableLinks]) -> Iterator[Problem]:
    table, links = tables[name], LINKS[name]
    for column, target in links.to.items():
        if target not in tables:
            continue  # reported as a missing table
        tokens = table[column]
        broken = tables[target].find(tokens) < 0
        if column in links.may_be_empty:
            broken &= tokens != b""
        for position in np.flatnonzero(broken).tolist():
            row = int(table.rows[column][position]) if column in links.lists else position
            yield Problem(
                table.path,
                "broken link",
                f"{table.row(row)}: {column} {_text(tokens[position])} is not in {target}.json",
            )


def _broken_chains(name: str, table: TableLinks) -> Iterator[Problem]:
    """Yield rows whose `next` does not name a row of the same chain whose `prev` names them."""
    group = table[LINKS[name].chained_by]
    for ahead, back in (("next", "prev"), ("prev", "next")):
        linked = np.flatnonzero(table[ahead] != b"")
        other = table.find(table[ahead][linked])
        for row in linked[other < 0].tolist():
            token = _text(table[ahead][row])
            detail = f"{table.row(row)}: {ahead} {token} is not in {name}.json"
            yield Problem(table.path, "broken chain", detail)
        linked, other = linked[other >= 0], other[other >= 0]
        wrong = (table[back][other] != table["token"][linked]) | (group[other] != group[linked])
        for row, found in zip(linked[wrong].tolist(), other[wrong].tolist(), strict=True):
            yield Problem(
                table.path,
                "broken chain",
                f"{table.row(row)}: {ahead} is {table.row(found)}, which does not lead back to it",
            )


def _wrong_ends(name: str, tables: dict[str, TableLinks]) -> Iterator[Problem]:
    """Yield owners whose first or last row does not end a chain, or whose count is wrong."""
    table, ends = tables[name], LINKS[name].ends
    owned_name, _, owner = LINKS[name].owned_by.partition(".")
    if ends is None or owned_name not in tables:
        return
    owned = tables[owned_name]
    owners = table.find(owned[owner])
    counts = np.bincount(owners[owners >= 0], minlength=len(table))
    for row in np.flatnonzero(counts != table[ends[2]]).tolist():
        detail = f"{table.row(row)}: {ends[2]} is {table[ends[2]][row]}, {owned_name}.json has "
        yield Problem(table.path, "wrong count", f"{detail}{counts[row]}")
    for column, side in ((ends[0], "prev"), (ends[1], "next")):
        found = owned.find(table[column])
        rows = np.flatnonzero(found >= 0)
        position = found[rows]
        wrong = (owned[side][position] != b"") | (owned[owner][position] != table["token"][rows])
        for row in rows[wrong].tolist():
            detail = f"{table.row(row)}: {column} is not that end of the chain it belongs to"
            yield Problem(table.path, "broken chain", detail)


def _logs_without_map(tables: dict[str, TableLinks]) -> Iterator[Problem]:
    if "log" in tables and "map" in tables:
        logs = tables["log"]
        mapped = set(tables["map"]["log_tokens"].tolist())
        for row, token in enumerate(logs["token"].tolist()):
            if token not in mapped:
                yield Problem(logs.path, "broken link", f"{logs.row(row)}: no map.json row has it")


def _blocks(
    folder: Path, table: str, names: list[str], numbers: list[str], lists: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yield columns of at most 100,000 rows."""
    types: list[Any] = [(name, list[str] if name in lists else str) for name in names]
    types += [(name, int) for name in numbers]
    row_type: Any = msgspec.defstruct(table, types[1:], bases=(TableRow,), gc=False)
    held: list[Any] = []
    for row in read_rows(folder, table, row_type):
        held.append(row)
        if len(held) == _BLOCK_ROWS:
            yield _columns(held, names, numbers, lists)
            held = []
    if held:
        yield _columns(held, names, numbers, lists)


def _columns(
    rows: list[Any], names: list[str], numbers: list[str], lists: tuple[str, ...]
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in names:
        values = [getattr(row, name) for row in rows]
        if name in lists:
            columns[f"{name} count"] = [len(tokens) for tokens in values]
            values = [token for tokens in values for token in tokens]
        columns[name] = np.array([value.encode() for value in values] or [], np.bytes_)
    for name in numbers:
        columns[name] = np.array([getattr(row, name) for row in rows], np.int64)
    return columns


def _text(token: bytes) -> str:
    return repr(token.decode())
