"""What every test may ask for."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.run_stores.finished_runs import Finished
    from tests.support.run_stores.tiny_labels import TinyLabels

# Set before Ray, MLflow or torch is imported anywhere. One thread: on a busy machine torch's
# threads wait for each other longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real samples, or skip."""
    default = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("OLIVINE_TEST_DATA", default))
    if not root.is_dir():
        pytest.skip(f"no real samples at {root}; set OLIVINE_TEST_DATA")
    return root


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that all processes of one call of pytest have."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a small synthetic world: ten scenes of two keyframes, 160 x 90 images.

    The processes of one call of pytest share it, and no test changes it.
    """
    from filelock import FileLock

    from olivine.data.datasets.synthetic.config import WorldConfig
    from olivine.data.datasets.synthetic.export.writing import write_world

    shared = shared_folder(tmp_path_factory)
    config = WorldConfig(keyframes_per_scene=2, image_width_px=160, num_firings=120)
    with FileLock(shared / "world.lock"):  # a complete world is not written again
        return write_world(config, shared / "world", num_processes=2)


@pytest.fixture(scope="session")
def tiny_labels(tmp_path_factory: pytest.TempPathFactory) -> "TinyLabels":
    """Return what writes a pretraining's labels and segments, each made once."""
    from tests.support.run_stores.tiny_labels import TinyLabels

    folder = shared_folder(tmp_path_factory) / "labels"
    folder.mkdir(exist_ok=True)
    return TinyLabels(folder)


@pytest.fixture(scope="session")
def finished(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> "Finished":
    """Finished runs on the tiny synthetic world, made once."""
    from tests.support.run_stores.finished_runs import finish_runs

    return finish_runs(tiny_world, tmp_path_factory.mktemp("runs") / "out")
