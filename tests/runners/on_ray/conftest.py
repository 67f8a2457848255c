"""One small Ray for all tests of the jobs."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
import ray  # the tests of the jobs know it too

from tests.support import ROOT


@pytest.fixture(scope="session")
def local_ray() -> Iterator[str]:
    """Start Ray with 2 CPUs and return its address; it ends with the tests."""
    # Workers import what the tests define; they inherit the environment, not sys.path.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
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
