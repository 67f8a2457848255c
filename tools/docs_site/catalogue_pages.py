"""Pages that list the package's recipes, sweeps, weights and published numbers."""

import csv
import inspect
import re
from pathlib import Path

import olivine
from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep_files import find_sweep, sweep_names
from olivine.results.paper_tables import TABLES
from tools.docs_site.tables import table

PACKAGE = Path(olivine.__file__).parent
MARKS = {"printed": "", "derived": "≈ ", "secondary": "* "}


def recipes() -> str:
    """Return the page of recipes, each with its docstring."""
    parts = [
        "# Recipes",
        "A recipe is a whole experiment as a value. `olivine show NAME` prints its settings, and "
        "every command takes its name. [Methods](../methods.md) says which one to take when.",
    ]
    for name, recipe in RECIPES.items():
        parts += [f"## {name}", _paragraphs(inspect.getdoc(recipe) or "")]
    return "\n\n".join(parts)


def sweeps() -> str:
    """Return the page of sweeps, each with its question, its metric and its rows."""
    asks = {name: paper for paper, names in TABLES.items() for name in names}
    parts = [
        "# Sweeps",
        "A sweep is a question in a file of `sweeps/`. `olivine sweep NAME` runs it; "
        "[Sweeps and tables](../sweeps.md) says how.",
    ]
    for name in sweep_names():
        sweep = find_sweep(name)
        facts = [f"metric `{sweep.metric}`", f"recipe `{sweep.recipe}`"]
        facts.append(f"seeds {', '.join(map(str, sweep.seeds))}")
        if name in asks:
            facts.append(f"`olivine reproduce {asks[name]}`")
        parts += [f"## {name}", "; ".join(facts) + ".", _paragraphs(sweep.question)]
        if sweep.rows:
            parts.append("Rows: " + "; ".join(f"`{row}`" for row in sweep.rows) + ".")
        if sweep.search:
            varied = "; ".join(f"`{setting}`" for setting in sweep.search.space)
            parts.append(f"Search over {sweep.search.num_points} points: {varied}.")
    return "\n\n".join(parts)


def weights() -> str:
    """Return the page of published weights that the package knows."""
    rows = [
        (f"`{row['name']}`", row["file"], _megabytes(row["size_bytes"]), row["licence"])
        for row in _csv("models/weights.csv")
    ]
    return "\n\n".join(
        (
            "# Published weights",
            "`olivine weights fetch NAME` downloads a row's files from their authors and checks "
            "their SHA-256; `olivine weights list` also prints addresses and hashes. Files of "
            "teachers are not in the list: they are named by path and known by their content.",
            table(("name", "file", "size (MB)", "licence"), rows),
        )
    )


def published() -> str:
    """Return the page of numbers in print: a table per comparison, a row per method."""
    lines = _csv("results/tables/published.csv")
    sources = list(dict.fromkeys(line["source"] for line in lines))
    parts = [
        "# Published numbers",
        "Numbers that the tables show beside their own, from "
        "`olivine/results/tables/published.csv`: mIoU in %, unless a column says otherwise. The "
        "number in parentheses is that of the source below. ≈ marks a number that follows from a "
        "difference in print, * one from a summary by somebody else. The notes of "
        "[Method, 6](../method.md#6-published-results) say how to read them.",
    ]
    for name in dict.fromkeys(line["table"] for line in lines):
        parts += [f"## {name}", _printed([x for x in lines if x["table"] == name], sources)]
    parts += ["## Sources", "\n".join(f"{i}. {text}" for i, text in enumerate(sources, 1))]
    return "\n\n".join(parts)


def _printed(lines: list[dict[str, str]], sources: list[str]) -> str:
    columns = list(dict.fromkeys(map(_column, lines)))
    rows = {line["row"]: dict.fromkeys(columns, "") for line in lines}
    for line in lines:
        number = f"{MARKS[line['how']]}{line['value']} ({sources.index(line['source']) + 1})"
        rows[line["row"]][_column(line)] = number
    return table(("row", *columns), [(row, *cells.values()) for row, cells in rows.items()])


def _column(line: dict[str, str]) -> str:
    words = re.sub(r"_(\d+)$", r", \1 %", line["protocol"]).replace("_", " ")
    return words if line["metric"] == "miou" else f"{words}, {line['metric']}"


def _csv(name: str) -> list[dict[str, str]]:
    with (PACKAGE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _megabytes(num_bytes: str) -> str:
    return f"{int(num_bytes) / 1e6:,.1f}"


def _paragraphs(text: str) -> str:
    """Return a docstring as Markdown: its labelled lines are paragraphs of their own."""
    lines = []
    for line in inspect.cleandoc(text).splitlines():
        label, colon, rest = line.partition(": ")
        if colon and label in ("Expected", "Takes", "Cost", "Command", "Commands"):
            lines += ["", f"**{label}:** {rest}"]
        else:
            lines.append(line)
    return "\n".join(lines)
