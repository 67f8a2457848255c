"""The machine's load during a run: MLflow's system metrics, logged like any other metric.

MLflow's own monitor queries the store before every sample, ends when the store does not answer and
may delay the end of a run for minutes. Here its collectors are used and their samples are logged
through the spool.
"""

import threading
import time
from collections.abc import Callable, Mapping

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from olivine.core.errors import UserError

PREFIX = "system/"  # MLflow's pages show these separately
Log = Callable[[Mapping[str, float], int], None]  # metrics, step


class SystemMonitor:
    """Logs processor, memory, disk, network and GPUs every `period_s` until it is stopped.

    A step is a second since `start_s` (in seconds since 1970), so the steps of a run that is
    opened again continue.
    """

    def __init__(self, log: Log, start_s: float, period_s: float):
        self._log, self._start_s, self._period_s = log, start_s, period_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="olivine monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop logging and wait until the thread has ended."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        monitors = _monitors()
        for monitor in monitors:
            monitor.collect_metrics()  # loads are means since the last call, so the first is void
            monitor.clear_metrics()
        while not self._stopped.wait(self._period_s):
            sample: dict[str, float] = {}
            for monitor in monitors:
                monitor.collect_metrics()
                sample.update(monitor.aggregate_metrics())
                monitor.clear_metrics()
            named = {f"{PREFIX}{name}": value for name, value in sample.items()}
            try:
                self._log(named, round(time.time() - self._start_s))
            except UserError:  # a full disk, which the work itself reports
                return


def _monitors() -> list[BaseMetricsMonitor]:
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        return [*monitors, GPUMonitor()]
    except Exception:  # no NVIDIA GPU, or no driver that can be queried
        return monitors
