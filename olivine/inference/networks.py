"""Networks with the weights of a run, and the reading of their files."""

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from olivine.core.arguments import require_type
from olivine.core.devices import Precision
from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.training.checkpoints import Checkpoints, parse_state, save_state
from olivine.training.config import EvaluateConfig, PretrainConfig
from olivine.training.evaluated_network import NetworkDescription, tensors_hash
from olivine.training.pretrained_networks import built_backbone
from olivine.training.pretrained_weights import fit_weights
from olivine.training.scene_counts import SceneCounts
from olivine.training.segmenter import Segmenter

BACKBONE_FILE = "backbone.pt"  # in the folder of a pretraining
NOTE_FILE, CHECKPOINTS, COUNTS_FILE = "network.json", "checkpoints", "confusions.npz"  # evaluation
_PRETRAINED, _EVALUATED = {"backbone", "config"}, {"segmenter", "config", "class_names"}


@dataclass(frozen=True)
class PretrainedBackbone:
    """A 3D network with its weights, and the settings that made it."""

    network: nn.Module  # voxels to one feature row per voxel; in evaluation mode, on the CPU
    config: PretrainConfig
    precision: Precision = "float32"  # of the network's products

    @property
    def num_channels(self) -> int:
        """Channels of a feature."""
        return self.config.backbone.num_channels

    def weights_sha256(self) -> str:
        """Return a hash of the weights, by which outputs of two networks are told apart."""
        return tensors_hash(self.network.state_dict())


@dataclass(frozen=True)
class EvaluatedNetwork:
    """A backbone and its head after an evaluation: voxels to the scores of classes."""

    network: Segmenter  # in evaluation mode, on the CPU
    config: EvaluateConfig
    class_names: tuple[str, ...]  # a predicted id is a position here

    @property
    def backbone(self) -> PretrainedBackbone:
        """The backbone alone: the pretrained one for a linear probe, else the fine-tuned one."""
        backbone = copy.deepcopy(self.network.backbone)
        return PretrainedBackbone(backbone, _as_evaluated(self.config), self.config.precision)

    @property
    def uses_images(self) -> bool:
        """Return whether images took part in training it."""
        pretrained = self.config.pretrained
        return pretrained.num_epochs > 0 and pretrained.method.uses_images

    def weights_sha256(self) -> str:
        """Return a hash of the weights, by which outputs of two networks are told apart."""
        return tensors_hash(self.network.state_dict())

    def save(self, path: str | Path) -> None:
        """Write the network to one file, without the state that only training needs.

        `load_segmenter` and `load_backbone` read it on any machine; `path` may be a bucket's URI.
        """
        folder, _, name = str(path).rpartition("/")
        state = {
            "segmenter": self.network.state_dict(),
            "config": self.config.to_yaml(),
            "class_names": list(self.class_names),
        }
        save_state(Store(folder or "."), name, state)


def check_backbone_type(given: Any) -> None:
    """Raise UserError unless the value is a backbone."""
    advice = " Of an evaluated network, give its .backbone." * isinstance(given, EvaluatedNetwork)
    require_type(
        "The network of features", given, PretrainedBackbone,
        "what olivine.load_backbone(...) returns", advice,
    )  # fmt: skip


def check_evaluated_type(given: Any) -> None:
    """Raise UserError unless the value is an evaluated network."""
    advice = " A backbone alone has no head that predicts classes: evaluate it."
    require_type(
        "The network of predictions", given, EvaluatedNetwork,
        "what olivine.load_segmenter(...) returns",
        advice if isinstance(given, PretrainedBackbone) else "",
    )  # fmt: skip


def read_backbone(data: bytes, source: str) -> PretrainedBackbone:
    """Return the backbone of a file's content; `source` is the file's name, for errors.

    The file is a pretraining's or one of `EvaluatedNetwork.save`. Raises UserError for any other.
    """
    state = parse_state(data, source)
    if isinstance(state, dict) and state.keys() >= _EVALUATED:
        return _evaluated(state, source).backbone
    if not (isinstance(state, dict) and state.keys() >= _PRETRAINED):
        raise UserError(
            f"{source} is not the file of a pretraining, a backbone.pt below <out>/pretrained/. A "
            "checkpoint of another program is "
            "evaluated by --set pretrained.backbone.weights=FILE."
        )
    config = PretrainConfig.from_dict(yaml.safe_load(state["config"]))
    network = _backbone_of(config)
    fit_weights(network, state["backbone"], source)
    return PretrainedBackbone(network.eval(), config)


def read_segmenter(data: bytes, source: str) -> EvaluatedNetwork:
    """Return the network of a file of `EvaluatedNetwork.save`.

    Raises UserError that names `source` for any other file; a pretraining's has no head.
    """
    state = parse_state(data, source)
    if isinstance(state, dict) and state.keys() >= _EVALUATED:
        return _evaluated(state, source)
    if isinstance(state, dict) and state.keys() >= _PRETRAINED:
        raise UserError(
            f"{source} is a pretraining's: it has no head that predicts classes. Evaluate it by "
            "`olivine evaluate` and name that run."
        )
    raise UserError(
        f"{source} is no evaluated network: name the run or the folder of an evaluation, or a file "
        "that EvaluatedNetwork.save wrote."
    )


def read_evaluation(store: Store, config_yaml: str | None = None) -> EvaluatedNetwork:
    """Return the network of an evaluation's folder, `<out>/evaluated/<fingerprint>`.

    `config_yaml` has the settings if the folder lacks them: version 0.1 stored them only with the
    run. Raises UserError if the weights are gone, damaged or not those that were evaluated.
    """
    note = _note(store, config_yaml)
    state = Checkpoints(store, CHECKPOINTS).latest()
    if state is None:
        raise UserError(
            f"{store.root} has no weights: its checkpoints are gone. Evaluate again by `olivine "
            "evaluate` with the same settings, after removing that folder."
        )
    if note.weights_sha256 and tensors_hash(state["module"]) != note.weights_sha256:
        raise UserError(
            f"The weights in {store.path(CHECKPOINTS)} are not those that were evaluated: they "
            "changed since. Evaluate again."
        )
    return _segmenter(note.config, note.class_names, state["module"], store.path(CHECKPOINTS))


def check_hash(data: bytes, sha256: str, source: str) -> None:
    """Raise UserError if a file's content is not the one that was logged."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{source} is not the file that this model was logged with.")


def _note(store: Store, config_yaml: str | None) -> NetworkDescription:
    if store.exists(NOTE_FILE):
        return NetworkDescription.read(store, NOTE_FILE)
    if config_yaml is None or not store.exists(COUNTS_FILE):
        raise UserError(
            f"{store.root} is no folder of a finished evaluation: it has no {NOTE_FILE}. Evaluate "
            "to the end; an evaluation of version 0.1 is named by its run."
        )
    config = EvaluateConfig.from_dict(yaml.safe_load(config_yaml))
    class_names = SceneCounts.read(store, COUNTS_FILE).class_names
    return NetworkDescription(config, class_names, "")


def _evaluated(state: dict[str, Any], source: str) -> EvaluatedNetwork:
    config = EvaluateConfig.from_dict(yaml.safe_load(state["config"]))
    return _segmenter(config, tuple(state["class_names"]), state["segmenter"], source)


def _segmenter(
    config: EvaluateConfig,
    class_names: tuple[str, ...],
    weights: dict[str, torch.Tensor],
    source: str,
) -> EvaluatedNetwork:
    num_channels, frozen = config.pretrained.backbone.num_channels, config.protocol != "finetune"
    with torch.random.fork_rng(devices=[]):  # the head's first weights are replaced too
        backbone = _backbone_of(_as_evaluated(config))
        network = Segmenter(backbone, num_channels, len(class_names), frozen)
    fit_weights(network, weights, source)
    return EvaluatedNetwork(network.eval(), config, class_names)


def _as_evaluated(config: EvaluateConfig) -> PretrainConfig:
    """Return the pretraining's settings with those of the network that the evaluation has."""
    return config.pretrained.replace(backbone=config.evaluated_backbone)


def _backbone_of(config: PretrainConfig) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # its first weights are replaced
        return built_backbone(config)
