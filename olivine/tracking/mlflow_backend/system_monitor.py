"""What the machine does while a run goes on: MLflow's system metrics, logged like any other.

MLflow's own monitor asks the store before every sample, ends when it is away and may hold up the
end of a run for minutes. Its collectors are used here, and the samples go where metrics go.
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

PREFIX = "system/"  # MLflow's pages show these apart
Log = Callable[[Mapping[str, float], int], None]  # metrics, step


class SystemMonitor:
    """Logs processor, memory, disk, network and GPUs every `period_s` until it is stopped.

    A step is a second since `start_s` (since 1970), so a run that is opened again goes on.
    """

    def __init__(self, log: Log, start_s: float, period_s: float):
        self._log, self._start_s, self._period_s = log, start_s, period_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="olivine monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return once nothing more is logged."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        monitors = _monitors()
        for monitor in monitors:
            monitor.collect_metrics()  # loads are means since the call before: the first is void
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
            except UserError:  # a full disk: the work itself will say so
                return


def _monitors() -> list[BaseMetricsMonitor]:
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        return [*monitors, GPUMonitor()]
    except Exception:  # no NVIDIA GPU, or no driver that says what it does
        return monitors
