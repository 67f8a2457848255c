"""A run that is going on: everything it says goes to its outbox, and from there to MLflow."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olivine.core.errors import UserError
from olivine.core.spec import Spec, setting_text
from olivine.tracking.spool import Outbox
from olivine.tracking.spool_writer import MAX_TEXTS, Delivery, SenderOf, tell
from olivine.tracking.store_uri import shown

MAX_NAME = 250  # characters
MAX_VALUE = 6000  # characters of a parameter or tag that MLflow takes


class MlflowRun:
    """Says what a stage has to say; nothing here waits for the store or fails because of it.

    An entry is on disk, and so survives the process, when its call returns.
    """

    def __init__(self, run_id: str, outbox: Outbox, sender_of: SenderOf):
        self.run_id = run_id
        self._outbox, self._names = outbox, set[str]()
        self._delivery = Delivery(outbox, sender_of)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at a step; raise UserError for a name that MLflow does not take."""
        for name in metrics.keys() - self._names:
            check_name(name)
            self._names.add(name)
        values = {name: float(value) for name, value in metrics.items()}
        self._outbox.append(
            {"kind": "metrics", "time_ms": _now_ms(), "step": int(step), "values": values}
        )

    def log_file(self, path: Path, folder: str = "") -> None:
        """Keep a copy of a small file with the run."""
        name = self._outbox.keep_file(path)
        self._outbox.append({"kind": "file", "name": name, "folder": folder})

    def log_text(self, name: str, text: str, folder: str = "") -> None:
        """Keep a text with the run, as a file of that name."""
        kept = self._outbox.keep_text(name, text)
        self._outbox.append({"kind": "file", "name": kept, "folder": folder})

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Record a data set that the run reads."""
        self._outbox.append(
            {
                "kind": "dataset",
                "name": name,
                "digest": digest,
                "source": source,
                "context": context,
            }
        )

    def log_model(self, name: str, weights: str, recipe: str, num_channels: int) -> None:
        """Record a pretrained backbone; its weights are read for their hash."""
        from olivine.tracking.mlflow_backend.model import described

        model = described(name, weights, recipe, num_channels)
        self._outbox.append({"kind": "model", "model": model})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add or change tags."""
        self._say_texts("tags", texts_of(tags))

    def log_settings(self, config: Spec) -> None:
        """Record every setting; a value too long for a parameter is whole in config.yaml."""
        settings = texts_of(config.flatten())
        self._say_texts("params", {name: text for name, text in settings.items() if name})
        self.log_text("config.yaml", config.to_yaml())

    def flush(self) -> None:
        """Return once what was logged so far is safe from a loss of power."""
        self._outbox.sync()

    def end(self, status: str, reason: str, patience_s: float, uri: str) -> None:
        """Say how the run ended and wait until the store knows.

        What it has not taken by then stays on disk, and a sentence tells so.
        """
        self._outbox.append(
            {"kind": "end", "status": status, "reason": reason, "time_ms": _now_ms()}
        )
        self._outbox.sync()
        problem = self._delivery.close(patience_s)
        if problem:
            tell(
                f"Run {self._outbox.header['name']!r} is {status}, but {shown(uri)} has not taken "
                f"all that it said ({problem}); it is kept in {self._outbox.path.parent} and "
                "delivered by the next start on this machine."
            )

    def _say_texts(self, kind: str, texts: Mapping[str, str]) -> None:
        rows = list(texts.items())
        for start in range(0, len(rows), MAX_TEXTS):
            self._outbox.append({"kind": kind, "values": dict(rows[start : start + MAX_TEXTS])})


def check_name(name: str) -> None:
    """Raise UserError for a metric's name that MLflow does not take."""
    if len(name) > MAX_NAME or not re.fullmatch(r"[/\w.\- :]+", name):
        raise UserError(
            f"A metric cannot be called {name[:MAX_NAME]!r}: MLflow takes at most {MAX_NAME} "
            "letters, digits, spaces and _ - . : / in a name."
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def texts_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Write values as `--set` reads them: text as it is, the rest as JSON."""
    texts = {}
    for name, value in values.items():
        text = setting_text(value)
        if len(text) > MAX_VALUE:
            note = f"… ({len(text)} characters; config.yaml has all)"
            text = text[: MAX_VALUE - len(note)] + note
        texts[name] = text
    return texts
