"""Finished runs on the tiny synthetic world, made once."""

from dataclasses import dataclass
from pathlib import Path

from olivine.core.runtime import Runtime
from olivine.experiments.recipes import demo_random
from olivine.runners.launch import launch_evaluation
from olivine.tracking.run_store import open_run_store
from olivine.training.config import EvaluateConfig
from olivine.training.evaluate import EvaluateResult

SMALL = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "pretrained.voxels.range_m": [-30, -30, -5, 30, 30, 5],  # points outside it have no voxel
    "num_epochs": 2,
    "batch_frames": 2,
}


@dataclass(frozen=True)
class Finished:
    """Evaluations in one store, and where they lie."""

    runtime: Runtime
    probe: EvaluateResult
    finetuned: EvaluateResult
    probe_config: EvaluateConfig

    @property
    def out(self) -> Path:
        return Path(self.runtime.out)

    def pretrained(self) -> str:
        """Return the fingerprint of the pretraining that both evaluations share."""
        (run,) = open_run_store(self.runtime).records("pretrain")
        return run.key.fingerprint


def finish_runs(tiny_world: Path, out: Path) -> Finished:
    """Probe and fine-tune a random backbone in a new store."""
    runtime = Runtime(
        data_root=str(tiny_world),
        out=str(out),
        cache_dir=str(out / "cache"),
        device="cpu",
        launcher="process",
    )
    config, tracker = demo_random().override(SMALL), open_run_store(runtime)
    finetune = config.override({"protocol": "finetune", "head_lr": 0.5})
    return Finished(
        runtime,
        launch_evaluation(config, runtime, tracker),
        launch_evaluation(finetune, runtime, tracker),
        config,
    )
