"""The networks that a pretraining trains, and the loss of its steps."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.core.hashing import seeded
from olivine.core.runtime import Runtime
from olivine.core.user_parts import built_module, run_by
from olivine.data.batch import Batch
from olivine.methods.class_counts import FEWER_PAIRS, require_pairs
from olivine.methods.distillation import Distillation
from olivine.methods.matched import WHOLE, StepPart
from olivine.methods.objective import Objective
from olivine.models.backbones.published_checkpoints import load_checkpoint
from olivine.models.teachers.base import Teacher
from olivine.models.weights import verify
from olivine.training.config import PretrainConfig
from olivine.training.loop import LossOf
from olivine.training.worker import Worker

NUM_INPUT_CHANNELS = 1  # intensity


def build_model(
    config: PretrainConfig, num_classes: int, device: torch.device | None = None
) -> Distillation:
    """Return the networks with weights drawn from the configuration's seed.

    `device` is the device on which they will run (None: the CPU); it decides the teacher's number
    format.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(config.seed, "weights"))
        backbone = built_backbone(config)
        if config.backbone.weights:
            path = verify(config.backbone.weights)
            load_checkpoint(backbone, path, config.voxels, config.backbone.kind)
        teacher = config.teacher if config.num_epochs else None
        num_pixel_channels = teacher.num_channels if teacher else 1
        objective = Objective(config.method, config.num_channels, num_classes, num_pixel_channels)
        return Distillation(
            backbone=backbone,
            num_point_channels=config.backbone.num_channels,
            teacher=_built_teacher(teacher, device) if teacher else None,
            num_pixel_channels=num_pixel_channels,
            objective=objective,
            heads=config.method.heads,
            num_channels=config.num_channels,
            hidden_channels=config.hidden_channels,
        )


def built_backbone(config: PretrainConfig) -> nn.Module:
    """Return the backbone, with weights drawn from torch's global generator."""
    with run_by(config.backbone):
        return built_module(config.backbone, config.backbone.build(NUM_INPUT_CHANNELS))


def _built_teacher(teacher: Teacher, device: torch.device | None) -> nn.Module:
    with run_by(teacher):
        return built_module(teacher, teacher.build(device))


def loss_function(module: nn.Module, config: PretrainConfig, worker: Worker) -> LossOf:
    """Return the loss of a batch at a step; sampling depends on (seed, step, term, group) alone."""
    part_frames = config.batch_frames // worker.world_size // config.accumulated_parts
    num_groups = part_frames // config.contrast_frames

    def loss_of(
        batch: Batch, step: int, part: StepPart = WHOLE
    ) -> tuple[Tensor, dict[str, Tensor]]:
        first = (worker.rank * config.accumulated_parts + part.index) * num_groups
        if len(batch.pairs) == 0 and config.method.uses_images:
            raise UserError(
                f"No point of the frames {', '.join(batch.tokens)} is seen by a camera: check the "
                "calibration, or ask less of the crop by pretrained.augmentations."
            )

        def generators(term: int, group: int) -> torch.Generator:
            seed = seeded(config.seed, "draw", step, term, group)
            return torch.Generator(worker.device).manual_seed(seed)

        def group_of_frame(frame_index: Tensor) -> Tensor:
            return first + frame_index // config.contrast_frames

        groups = range(first, first + num_groups)
        return module(batch, group_of_frame, generators, replace(part, groups=groups))

    return loss_of


def with_enough_pairs(
    loss_of: LossOf, model: Distillation, config: PretrainConfig, runtime: Runtime
) -> LossOf:
    """Return the loss with a check, in a run's first step, of the number of pairs.

    Later steps may have fewer, since data vary; the number of pairs of each term is logged.
    """

    def guarded(batch: Batch, step: int, part: StepPart) -> tuple[Tensor, dict[str, Tensor]]:
        losses = loss_of(batch, step, part)
        if step == 0 and FEWER_PAIRS not in runtime.allow:
            require_pairs(model.objective.sampled_pairs(), config.contrast_frames)
        return losses

    return guarded
