"""Measures of the code's structure: folder sizes, file and function lengths, import cycles.

`python tools/structure.py [CHECKOUT]` prints, for the library (`olivine/`, `ray_jobs/`, `sweeps/`)
and for tests and benchmarks: files per folder, lines per file, lines per function, files that
import each other in a circle, and rooms (folders of `olivine/`) that do. `--against OTHER` prints
another checkout's figures beside them. Only the standard library is needed.
"""

import argparse
import ast
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARY = ("olivine", "ray_jobs", "sweeps")
GROUPS = {"library": LIBRARY, "tests": ("tests",), "benchmarks": ("benchmarks", "tools")}


@dataclass(frozen=True)
class Module:
    """A Python file: its path below the checkout, its text and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The dotted name that imports it."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def num_lines(self) -> int:
        """Lines of text, comments and blank ones counted."""
        return len(self.text.splitlines())

    def function_lengths(self) -> Iterator[int]:
        """Yield the lines of every function and method, its docstring left out."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = node.body[0] if ast.get_docstring(node, clean=False) else None
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if docstring is not None:
                    assert docstring.end_lineno is not None
                    length -= docstring.end_lineno - docstring.lineno + 1
                yield length

    def imports(self) -> Iterator[str]:
        """Yield the full name of everything that is imported, early or late."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_modules(root: Path, folders: Iterable[str]) -> list[Module]:
    """Return every Python file below some folders of a checkout."""
    modules = []
    for path in sorted(file for folder in folders for file in (root / folder).rglob("*.py")):
        text = path.read_text()
        modules.append(Module(path.relative_to(root), text, ast.parse(text)))
    return modules


def import_graph(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return which modules each module imports, of those that are given."""
    modules = list(modules)
    names = {module.name for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        found = graph.setdefault(module.name, set())
        for name in module.imports():
            parts = name.split(".")
            starts = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
            target = next((start for start in starts if start in names), None)
            if target is not None and target != module.name:
                found.add(target)
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan's strong components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in index:
            visit(node)
    return found


def room_graph(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports between the packages of olivine/; a flat module counts as a package."""
    rooms: dict[str, set[str]] = {}
    for module, others in graph.items():
        for name in (module, *others):
            rooms.setdefault(_room(name), set())
        rooms[_room(module)] |= {_room(other) for other in others} - {_room(module)}
    return rooms


def _room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def measure(root: Path) -> dict[str, str]:
    """Return every figure of a checkout by its name."""
    figures = {}
    for group, folders in GROUPS.items():
        modules = read_modules(root, folders)
        if not modules:
            continue
        sizes = Counter(str(module.path.parent) for module in modules)
        entries = Counter({folder: _num_entries(root / folder) for folder in sizes})
        lines = [module.num_lines for module in modules]
        functions = [length for module in modules for length in module.function_lengths()]
        longest = max(modules, key=lambda module: module.num_lines)
        folder, num_entries = entries.most_common(1)[0]
        figures |= {
            f"{group}: files": str(len(modules)),
            f"{group}: lines": str(sum(lines)),
            f"{group}: folders": str(len(sizes)),
            f"{group}: most Python files and folders in one folder": f"{num_entries} ({folder})",
            f"{group}: lines per file, median / longest": (
                f"{statistics.median(lines):.0f} / {longest.num_lines} ({longest.path})"
            ),
            f"{group}: files over 300 lines": str(sum(n > 300 for n in lines)),
            f"{group}: functions": str(len(functions)),
            f"{group}: lines per function, median / p90 / longest": (
                f"{statistics.median(functions):.0f} / "
                f"{statistics.quantiles(functions, n=10)[-1]:.0f} / {max(functions)}"
            ),
            f"{group}: functions over 50 lines": str(sum(n > 50 for n in functions)),
        }
    graph = import_graph(read_modules(root, LIBRARY))
    for module, other in _ignored_imports(root):
        graph.get(module, set()).discard(other)
    figures["files that import each other in a circle"] = _sizes(circles(graph))
    figures["rooms that import each other in a circle"] = _sizes(circles(room_graph(graph)))
    return figures


def _ignored_imports(root: Path) -> list[tuple[str, str]]:
    """Return the imports that pyproject.toml excuses, module by module, with a reason there."""
    return re.findall(r'"([\w.]+) -> ([\w.]+)"', (root / "pyproject.toml").read_text())


def _num_entries(folder: Path) -> int:
    """Count what a reader of a folder sees of code: Python files, and folders of them."""
    packages = (path for path in folder.iterdir() if path.is_dir() and any(path.rglob("*.py")))
    return sum(1 for _ in folder.glob("*.py")) + sum(1 for _ in packages)


def _sizes(groups: list[list[str]]) -> str:
    if not groups:
        return "none"
    return "; ".join(f"{len(group)}: {', '.join(group)}" for group in groups)


def main() -> None:
    """Print a table of figures, of one checkout or two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="?", default=".", type=Path)
    parser.add_argument("--against", type=Path, help="another checkout, in a column of its own")
    arguments = parser.parse_args()
    columns = [measure(arguments.checkout)]
    if arguments.against:
        columns.insert(0, measure(arguments.against))
    for name in dict.fromkeys(name for column in columns for name in column):
        values = "  ->  ".join(column.get(name, "-") for column in columns)
        sys.stdout.write(f"{name}: {values}\n")


if __name__ == "__main__":
    main()
