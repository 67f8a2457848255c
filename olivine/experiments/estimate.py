"""An estimate of what the rest of a sweep will take, from the store's finished runs.

Hours are hours of one device. The rate of an epoch is the median over similar finished runs: on the
same data with the same networks if there are any, else on the same data. Nothing is guessed from
other data or hardware; without a similar run the answer is unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from olivine.core.progress import cost_text
from olivine.core.spec import Spec
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.tracking.tracker import RunRecord
from olivine.training.loop import device_hours_of

# Settings that must be equal for a run to be similar, the strictest rule first.
PRETRAINED_ALIKE = (
    ("pretrained.data.", "pretrained.backbone.", "pretrained.teacher.", "pretrained.voxels."),
    ("pretrained.data.", "pretrained.backbone.kind"),
    ("pretrained.data.",),
)
EVALUATED_ALIKE = (
    ("train.", "val.", "protocol", "pretrained.backbone.", "pretrained.voxels."),
    ("train.", "protocol"),
    ("train.",),
)


@dataclass(frozen=True)
class Estimate:
    """The finished and the missing trials of a sweep, and the hours that the missing ones take."""

    num_trials: int
    num_finished: int
    num_pretrainings: int  # still to run; a shared one counts once
    num_shared: int  # pretrainings that are finished already
    hours: float | None  # None: there is no similar finished run

    def lines(self, usd_per_gpu_hour: float) -> list[str]:
        """Return the estimate as sentences."""
        missing = self.num_trials - self.num_finished
        lines = [
            f"{self.num_trials} trials: {self.num_finished} finished before, {missing} to run with "
            f"{self.num_pretrainings} pretrainings ({self.num_shared} more are finished already)."
        ]
        if self.hours is None:
            lines.append(
                "Hours: unknown, as no run like these has finished in this store; run one by "
                "--max-trials 1 and ask again."
            )
            return lines
        lines.append(f"About {cost_text(self.hours, usd_per_gpu_hour)}.")
        return lines


def estimate(
    expanded: ExpandedSweep,
    finished: Iterable[str],
    pretrained: Sequence[RunRecord],
    evaluated: Sequence[RunRecord],
) -> Estimate:
    """Return the estimate of an ablation.

    `finished` are fingerprints of finished trials; `pretrained` and `evaluated` are all finished
    runs of the two stages.
    """
    done = set(finished)
    missing = [trial for trial in expanded.trials if trial.fingerprint not in done]
    works = {expanded.shared_work(trial.config): trial.config for trial in missing}
    works.pop("", None)
    there = {record.key.fingerprint for record in pretrained}
    todo = {work: config for work, config in works.items() if work not in there}
    hours = [
        *(_hours(config, "pretrained.num_epochs", pretrained, PRETRAINED_ALIKE)
          for config in todo.values()),
        *(_hours(trial.config, "num_epochs", evaluated, EVALUATED_ALIKE) for trial in missing),
    ]  # fmt: skip
    known = [hour for hour in hours if hour is not None]
    return Estimate(
        num_trials=len(expanded.trials),
        num_finished=len(expanded.trials) - len(missing),
        num_pretrainings=len(todo),
        num_shared=len(works) - len(todo),
        hours=sum(known) if len(known) == len(hours) else None,
    )


def _hours(
    config: Spec, epochs: str, records: Sequence[RunRecord], alike: Sequence[Sequence[str]]
) -> float | None:
    settings = config.setting_texts()
    for names in alike:
        rates = [
            rate for record in records
            if _same(settings, record.settings, names) and (rate := _rate(record, epochs))
        ]  # fmt: skip
        if rates:
            return median(rates) * int(settings[epochs])
    return None


def _rate(record: RunRecord, epochs: str) -> float:
    num_epochs = int(record.settings.get(epochs, "0"))
    return device_hours_of(record.metrics) / num_epochs if num_epochs else 0.0


def _same(one: Mapping[str, str], two: Mapping[str, str], names: Sequence[str]) -> bool:
    chosen = [name for name in one.keys() | two.keys() if name.startswith(tuple(names))]
    return all(one.get(name) == two.get(name) for name in chosen)
