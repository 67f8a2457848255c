"""A pretraining's step that any place can compute: networks, batch, draws and update are the same.

Draws are made on the CPU, so that every device samples the same pairs. In double precision the
teacher's maps stay those of single precision.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from olivine.core.devices import Precision
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.batch import Batch, PairTable
from olivine.data.clusterings.hdbscan import Hdbscan
from olivine.data.collate import Collate
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import Sample
from olivine.data.samples import scan_alone
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.slic import Slic
from olivine.methods.catalogue import olivine_method
from olivine.methods.distillation import Distillation
from olivine.methods.losses.vmf import VMF
from olivine.methods.matched import WHOLE
from olivine.methods.method import Method
from olivine.methods.samplers.weighted_sampling import PairSampler
from olivine.models.activation_checkpointing import recompute_activations
from olivine.models.backbones.base import Backbone
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.training.config import PretrainConfig
from olivine.training.pretrained_networks import build_model, loss_function
from olivine.training.worker import LocalWorker
from tools.gpu_check.cases.comparing import Place
from tools.gpu_check.cases.made_data import NUM_CLASSES, frames_of, samples_of
from tools.gpu_check.cases.sparse import SMALL_UNET
from tools.gpu_check.report import Setup

CUBES = Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3))
CLUSTER_M = 4.0  # side of the squares of ground that stand for superpoints
FIRST_SCALE = 2.0**10  # of a loss in float16; a GradScaler's own first steps are often left out


def early_olivine() -> Method:
    """Return OLIVINE's method with a vMF term that is on at the second step."""
    method = olivine_method()
    terms = dict(method.terms)
    vmf = VMF(momentum=0.5, warmup_steps=1)
    terms["compact"] = terms["compact"].replace(loss=vmf)
    smaller = {
        name: term.replace(sample=term.sample.replace(num_pairs=1024)) if term.sample else term
        for name, term in terms.items()
    }
    return method.replace(terms=smaller)


def config_of(method: Method, num_frames: int, backbone: Backbone = SMALL_UNET) -> PretrainConfig:
    """Return a pretraining in which all frames of a batch are one contrast group."""
    return PretrainConfig(
        data=Nuscenes(),
        method=method,
        backbone=backbone,
        teacher=FilterBankTeacher(width=64),
        labels=GroundedSam(),
        segments=Slic(),
        clusters=Hdbscan(),
        voxels=CUBES,
        batch_frames=num_frames,
        contrast_frames=num_frames,
    )


def whole_batch(setup: Setup, num_frames: int = 2, round_: int = 0) -> Batch:
    """Return a batch with all that any method uses: pairs, segments, a second view, superpoints."""
    samples = samples_of(setup, frames_of(setup, num_frames), round_)
    return Collate(CUBES)([_with_view(sample, number) for number, sample in enumerate(samples)])


def _with_view(sample: Sample, number: int) -> Sample:
    squares = np.floor(sample.xyz_m[:, :2] / CLUSTER_M).astype(np.int64) + 100
    cluster_ids = np.where(sample.xyz_m[:, 2] > -1.5, squares[:, 0] * 200 + squares[:, 1], -1)
    sample = replace(sample, cluster_ids=cluster_ids)
    generator = np.random.default_rng([8, number])
    return replace(sample, view=RotateFlip()(scan_alone(sample), generator))


@dataclass(frozen=True)
class Stepped:
    """What some steps computed; of each step one entry."""

    losses: list[Tensor]
    terms: list[dict[str, Tensor]]
    gradients: list[dict[str, Tensor]]  # of the first and the last layer of the backbone
    changes: list[Tensor]  # of all weights together, by the step
    num_sampled: list[dict[str, list[int]]]
    weights: dict[str, Tensor]


class Training:
    """Networks and an optimiser at a place, which take one step after another."""

    def __init__(self, config: PretrainConfig, place: Place, recompute: bool = False):
        self.place = place
        self.model = _at(build_model(config, NUM_CLASSES, place.device), place)
        if recompute:
            recompute_activations(self.model.backbone, config.backbone.kind)
        samplers = self.model.objective._samplers
        self.model.objective._samplers = {n: on_cpu(s) for n, s in samplers.items()}
        self.loss_of = loss_function(self.model, config, LocalWorker("cpu"))
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = config.optimiser.build([{"params": self.weights}])
        scaled = place.precision == "float16"
        self.scaler = torch.amp.GradScaler(place.device.type, FIRST_SCALE, enabled=scaled)

    def step(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Take a step as the training loop does; return the loss and its terms."""
        self.optimiser.zero_grad(set_to_none=True)
        with self.place.autocast():
            total, values = self.loss_of(batch, step, WHOLE)
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimiser)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return total.detach(), {name: value.detach() for name, value in values.items()}

    def flat(self) -> Tensor:
        """Return a copy of all weights in one vector."""
        return torch.cat([weight.detach().flatten() for weight in self.weights])


def steps(training: Training, batches: Iterator[Batch] | list[Batch]) -> Stepped:
    """Return what one step on each batch computes."""
    done = Stepped([], [], [], [], [], {})
    for number, batch in enumerate(batches):
        before = training.flat()
        loss, terms = training.step(training.place.put(batch), number)
        done.losses.append(loss)
        done.terms.append(terms)
        done.gradients.append(_ends(training.model.backbone))
        done.changes.append(training.flat() - before)
        done.num_sampled.append(dict(training.model.objective.num_sampled))
    done.weights.update(training.model.state_dict())
    return done


def _ends(backbone: nn.Module) -> dict[str, Tensor]:
    weights = [weight for weight in backbone.parameters() if weight.ndim > 1]
    ends = {"the first layer": weights[0], "the last layer": weights[-1]}
    return {name: w.grad.clone() for name, w in ends.items() if w.grad is not None}


def on_cpu(sampler: PairSampler) -> Callable[[PairTable, torch.Generator], Tensor]:
    """Return a sampler that draws on the CPU, whatever device has the pairs."""
    cpu = Place(torch.device("cpu"))

    def sampled(pairs: PairTable, generator: torch.Generator) -> Tensor:
        return sampler(cpu.put(pairs), generator).to(pairs.voxel_index.device)

    return sampled


class _Widened(nn.Module):
    """A frozen teacher in single precision whose maps are given in double precision."""

    def __init__(self, teacher: nn.Module):
        super().__init__()
        self.teacher = teacher

    def forward(self, images: Tensor) -> Tensor:
        return self.teacher(images).double()


def _at(model: Distillation, place: Place) -> Distillation:
    teacher, model.teacher = model.teacher, None
    model = place.put(model).train()
    if teacher is not None:
        teacher = teacher.to(place.device)
        model.teacher = _Widened(teacher) if place.dtype == torch.float64 else teacher
    return model


PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
