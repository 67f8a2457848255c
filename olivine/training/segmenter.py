"""The network that an evaluation trains: a pretrained backbone and one layer of classes."""

import torch
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.data.batch import Batch, Voxels


class Segmenter(nn.Module):
    """A backbone with one linear layer per voxel."""

    def __init__(self, backbone: nn.Module, num_channels: int, num_classes: int, frozen: bool):
        super().__init__()
        self.backbone = backbone.requires_grad_(not frozen)
        self.head = nn.Linear(num_channels, num_classes)
        self.frozen = frozen

    def train(self, mode: bool = True) -> "Segmenter":
        """Set the mode of what is trained; a frozen backbone keeps its running statistics."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, voxels: Voxels) -> Tensor:
        """Return logits (V, classes)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            rows = self.backbone(voxels)
        return self.head(rows)


def voxel_classes(batch: Batch) -> Tensor:
    """Return each voxel's class, which is that of its kept point."""
    if batch.class_ids is None:
        raise UserError(
            f"Frame {batch.tokens[0]} has no point labels: evaluation needs the data set's "
            "lidarseg files."
        )
    return batch.class_ids[batch.voxels.kept_point]


def predict(model: Segmenter, batch: Batch) -> Tensor:
    """Return the class of every point of the batch, which is that of its voxel."""
    voxel_classes(batch)
    logits = model(batch.voxels)
    return logits.argmax(dim=1)[batch.voxels.voxel_of_point]
