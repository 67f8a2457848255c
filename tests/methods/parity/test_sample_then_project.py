"""Reading the map before the head equals enlarging the projected map (method.md §10.2)."""

import torch
import torch.nn.functional as F

from olivine.methods.features import read_map

GENERATOR = torch.Generator().manual_seed(0)
MAPS = torch.randn(2, 10, 5, 7, generator=GENERATOR, dtype=torch.double)
SIZE_PX = (21, 33)
PIXELS = torch.stack(
    [torch.randint(0, n, (300,), generator=GENERATOR) for n in (2, *SIZE_PX)], dim=1
)


def enlarged(maps: torch.Tensor) -> torch.Tensor:
    whole = F.interpolate(maps, SIZE_PX, mode="bilinear", align_corners=True)
    return whole[PIXELS[:, 0], :, PIXELS[:, 1], PIXELS[:, 2]]


def test_reading_a_map_equals_enlarging_it_first():
    torch.testing.assert_close(read_map(MAPS, PIXELS, SIZE_PX), enlarged(MAPS))


def test_sample_then_project_equals_project_then_sample():
    head = torch.nn.Conv2d(10, 4, 1, dtype=torch.double)
    linear = torch.nn.Linear(10, 4, dtype=torch.double)
    linear.load_state_dict({"weight": head.weight.detach()[:, :, 0, 0], "bias": head.bias.detach()})
    ours = F.normalize(linear(read_map(MAPS, PIXELS, SIZE_PX)), dim=1)
    torch.testing.assert_close(ours, F.normalize(enlarged(head(MAPS)), dim=1))
