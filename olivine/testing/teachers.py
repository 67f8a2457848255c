"""The contract of a frozen image network."""

import pickle

import torch
from torch import Tensor

from olivine.methods.distillation import Frozen
from olivine.models.teachers.base import Teacher
from olivine.testing.frames import images
from olivine.testing.settings import check_settings, devices, require

SIZES_PX = ((48, 80), (33, 51))  # the second is divisible by nothing
TOLERANCE = 1e-3  # relative to the largest feature


def check_teacher(teacher: Teacher) -> None:
    """Check the promises of a teacher.

    Its settings can be written and read again. For uint8 images it returns finite maps with
    `num_channels` channels, the size of `map_size` and the number format of `dtype_on`, without
    gradients. An image's map does not depend on the other images of the batch, and the same network
    is built every time. A GPU agrees with the CPU.

    Raises AssertionError for a promise that is broken, and UserError as `build` does.
    """
    check_settings(teacher)
    identity = teacher.identity
    require(isinstance(identity, str), teacher, "identity is not a text")
    require(teacher.identity == identity, teacher, "identity changes by itself")
    shown = torch.from_numpy(images(3)).permute(0, 3, 1, 2).contiguous()
    for rows, columns in SIZES_PX:
        _maps(teacher, shown[:, :, :rows, :columns], torch.device("cpu"))
    together = _maps(teacher, shown, torch.device("cpu"))
    for device in devices():
        found = _maps(teacher, shown, device)
        same = _close(together, found.cpu(), 50 * TOLERANCE if device.type == "cuda" else 0)
        require(same, teacher, f"built again, on {device}, it gives other maps")
    alone = _maps(teacher, shown[:1], torch.device("cpu"))
    same = _close(together[:1], alone)
    require(same, teacher, "an image's map depends on the other images of the batch")


def _maps(teacher: Teacher, shown: Tensor, device: torch.device) -> Tensor:
    network = Frozen(pickle.loads(pickle.dumps(teacher)).build(device)).to(device).train()
    maps = network(shown.to(device))
    shape = (len(shown), teacher.num_channels, *teacher.map_size(*shown.shape[2:]))
    found = tuple(maps.shape)
    require(found == shape, teacher, f"maps of shape {found} instead of {shape}")
    wanted = teacher.dtype_on(device)
    require(
        maps.dtype == wanted, teacher, f"its maps are {maps.dtype}, and dtype_on returns {wanted}"
    )
    require(bool(maps.isfinite().all()), teacher, "a feature is not finite")
    require(not maps.requires_grad, teacher, "its maps take gradients")
    return maps


def _close(one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> bool:
    one, other = one.float(), other.float()
    return bool(((one - other).abs() <= tolerance * one.abs().max()).all())
