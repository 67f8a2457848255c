"""An open run: everything that it logs goes to its spool, and from there to MLflow."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olivine.core.errors import UserError
from olivine.core.spec import Spec, setting_text
from olivine.tracking.spool import MetricSpool
from olivine.tracking.spool_writer import MAX_TEXTS, SenderOf, SpoolWriter, warn
from olivine.tracking.store_uri import without_password

MAX_NAME = 250  # characters
MAX_VALUE = 6000  # characters of a parameter or tag that MLflow takes


class MlflowRun:
    """Logs what a stage records; no call waits for the store or fails because of it.

    When a call returns, its entry is on disk and survives the process.
    """

    def __init__(self, run_id: str, spool: MetricSpool, sender_of: SenderOf):
        self.run_id = run_id
        self._spool, self._names = spool, set[str]()
        self._spool_writer = SpoolWriter(spool, sender_of)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at a step; raise UserError for a name that MLflow does not accept."""
        for name in metrics.keys() - self._names:
            require_metric_name(name)
            self._names.add(name)
        values = {name: float(value) for name, value in metrics.items()}
        self._spool.append(
            {"kind": "metrics", "time_ms": _now_ms(), "step": int(step), "values": values}
        )

    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of a small file with the run."""
        name = self._spool.add_file(path)
        self._spool.append({"kind": "file", "name": name, "folder": folder})

    def log_text(self, name: str, text: str, folder: str = "") -> None:
        """Store a text with the run, as a file of this name."""
        kept = self._spool.add_text(name, text)
        self._spool.append({"kind": "file", "name": kept, "folder": folder})

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Record a data set that the run reads."""
        self._spool.append(
            {
                "kind": "dataset",
                "name": name,
                "digest": digest,
                "source": source,
                "context": context,
            }
        )

    def log_model(self, name: str, weights: str, recipe: str, num_channels: int) -> None:
        """Record a pretrained backbone; its weights file is read to hash it."""
        from olivine.tracking.mlflow_backend.model import describe_model

        model = describe_model(name, weights, recipe, num_channels)
        self._spool.append({"kind": "model", "model": model})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add or change tags."""
        self._log_texts("tags", texts_of(tags))

    def log_settings(self, config: Spec) -> None:
        """Record every setting; a value too long for a parameter is complete in config.yaml."""
        settings = texts_of(config.flatten())
        self._log_texts("params", {name: text for name, text in settings.items() if name})
        self.log_text("config.yaml", config.to_yaml())

    def flush(self) -> None:
        """Return when everything logged so far survives a loss of power."""
        self._spool.sync()

    def end(self, status: str, reason: str, patience_s: float, uri: str) -> None:
        """Log the end of the run; wait up to `patience_s` seconds until the store has all.

        Entries that the store has not received by then stay on disk, and a warning names them.
        """
        self._spool.append(
            {"kind": "end", "status": status, "reason": reason, "time_ms": _now_ms()}
        )
        self._spool.sync()
        problem = self._spool_writer.close(patience_s)
        if problem:
            warn(
                f"Run {self._spool.header['name']!r} is {status}, but {without_password(uri)} "
                f"has not received all of its metrics ({problem}); they are in "
                f"{self._spool.path.parent} and the next start on this machine sends them."
            )

    def _log_texts(self, kind: str, texts: Mapping[str, str]) -> None:
        rows = list(texts.items())
        for start in range(0, len(rows), MAX_TEXTS):
            self._spool.append({"kind": kind, "values": dict(rows[start : start + MAX_TEXTS])})


def require_metric_name(name: str) -> None:
    """Raise UserError for a metric's name that MLflow does not accept."""
    if len(name) > MAX_NAME or not re.fullmatch(r"[/\w.\- :]+", name):
        raise UserError(
            f"A metric cannot be called {name[:MAX_NAME]!r}: MLflow takes at most {MAX_NAME} "
            "letters, digits, spaces and _ - . : / in a name."
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def texts_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts that `--set` reads: text as it is, the rest as JSON.

    A text that is longer than MLflow accepts is cut, and its end says that it was.
    """
    texts = {}
    for name, value in values.items():
        text = setting_text(value)
        if len(text) > MAX_VALUE:
            note = f"… ({len(text)} characters; config.yaml has all)"
            text = text[: MAX_VALUE - len(note)] + note
        texts[name] = text
    return texts
