"""One small Ray for all tests of the jobs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray  # the tests of the jobs know it too

from olivine.core.plugins.code_cache import VARIABLE
from tests.support import ROOT


@pytest.fixture(scope="session")
def workers_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that only Ray's workers know: `packages` they import from, `kept` code."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "packages").mkdir()  # Python looks once whether a place to import from is there
    return folder


@pytest.fixture(scope="session")
def local_ray(workers_place: Path) -> Iterator[str]:
    """Start Ray with 2 CPUs and return its address; it ends with the tests."""
    # Workers import what the tests define; they inherit the environment, not sys.path.
    places = [str(ROOT), str(workers_place / "packages"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    os.environ[VARIABLE] = str(workers_place / "kept")
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets allow 107 characters
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level="warning",
        _temp_dir=folder,
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
