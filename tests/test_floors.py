"""Imports only ever point down, Ray and MLflow stay at the edge, and `import olivine` is light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAMILIES = {
    "augmentations",
    "backbones",
    "clusterings",
    "datasets",
    "labellers",
    "losses",
    "optimisers",
    "poolings",
    "samplers",
    "teachers",
}
# Lowest first. A module imports its own floor and those below; a family's folder counts as one
# module, and families share a floor without ever importing each other.
FLOORS: list[set[str]] = [
    {"errors"},
    {
        "buckets", "class_names", "compiling", "delivery", "feeds", "images", "outbox",
        "page_parts", "processor", "progress", "provenance", "run_store", "scene_counts", "spec",
        "statistics", "tensors", "types",
    },
    {
        "census", "contrast", "drawing", "gathering", "geometry", "grouping", "kept_arrays",
        "network_parts", "optim", "parts", "recompute", "sparse", "storage", "teacher_maps",
        "published", "table_spec", "tracking", "weights", "worker",
    },
    {"foundation"},
    FAMILIES,
    {
        "checkpoint", "collation", "label_quality", "label_store", "label_tally", "loading",
        "networks", "objective", "pair_classes", "published_backbones", "ridge_probe",
        "segmentation", "superpoints", "training",
    },
    {"config", "demo_scale", "methods"},
    {"point_search", "recipes", "search_points", "search_space", "sweep", "sweep_limits"},
    {
        "inference", "evaluate", "figures", "label", "label_account", "label_batches",
        "label_outcome",
        "label_page", "label_pictures", "label_plan", "label_report", "pretrain", "pretrain_data",
        "pretrain_probe", "results", "reuse", "sweep_estimate",
        "table_cells", "table_comparisons", "table_csv",
        "table_html", "table_latex", "table_layout", "table_markdown", "table_places", "table_runs",
        "tabulate",
        # what a sweep found, and two runs side by side
        "compare", "curve_figures", "importance", "inline_svg", "replay", "report",
        "report_curves", "report_figures", "report_page", "report_parts", "report_sections",
        "report_trials",
    },
    {
        "mlflow_backbone", "mlflow_client", "mlflow_inputs", "mlflow_model", "mlflow_monitor",
        "mlflow_run", "mlflow_sender", "mlflow_tracker", "run_reader",
    },
    {"cli", "commands", "data_commands", "label_commands", "report_commands",
        "sweep_commands",
        "table_commands", "weights_commands"},
]  # fmt: skip
EDGE = len(FLOORS) - 1
RAY_IS_STARTED_BY = FLOORS[EDGE]  # by name of a job, late; never `ray` itself
MODULES = sorted((ROOT / "olivine").rglob("*.py"))


def owner(path: Path) -> str:
    """Return the module or the folder of `olivine` that a file belongs to."""
    return path.relative_to(ROOT / "olivine").parts[0].removesuffix(".py")


def floor_of(name: str) -> int:
    floors = [i for i, floor in enumerate(FLOORS) if name in floor]
    assert len(floors) == 1, f"give olivine/{name} one floor in tests/test_floors.py"
    return floors[0]


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, early or late, by its full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = owner(path)
    if own == "__init__":
        assert not list(imports(path))
        return
    for name in imports(path):
        package, *rest = name.split(".")
        if package in {"ray_jobs", "sweeps"}:
            assert own in RAY_IS_STARTED_BY, f"{own} starts {name}; only the commands may"
        if package != "olivine":
            continue
        other = rest[0]
        if other == own:
            continue
        assert floor_of(other) <= floor_of(own), f"{own} imports upwards: {name}"
        assert not {own, other} <= FAMILIES, f"the family {own} imports another: {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_ray_and_mlflow_stay_at_the_edge(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports(path)}
    assert "ray" not in packages, "Ray belongs to ray_jobs/; stages take a Worker"
    if not owner(path).startswith("mlflow_"):
        assert "mlflow" not in packages, "MLflow belongs to olivine/mlflow_*.py"


def test_every_module_has_one_floor() -> None:
    for name in {owner(path) for path in MODULES} - {"__init__"}:
        assert floor_of(name) >= 0


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import olivine", {"ray", "mlflow", "torch", "numpy", "pydantic"}),
        ("import olivine.recipes", {"ray", "mlflow"}),
        ("import olivine.pretrain, olivine.evaluate, olivine.label", {"ray", "mlflow"}),
        ("import olivine.mlflow_tracker", {"ray", "mlflow", "torch"}),
    ],
)
def test_importing_pulls_in_no_more_than_it_must(statement: str, absent: set[str]) -> None:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in answer.stdout.split()}
    assert not loaded & absent


def test_opening_a_data_set_does_not_wait_for_torch():
    code = "import sys; import olivine.datasets.nuscenes; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
