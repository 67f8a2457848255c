"""Code of somebody else, as a test writes it: installed packages and files with a part."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from olivine.core.plugins import code_hash, entry_points

LOSS = '''
from helper import SCALE
from olivine.methods.losses.base import Loss


class MyLoss(Loss):
    """Mean squared distance between queries and keys."""

    power: float = 2.0

    def build(self, num_channels, num_classes):
        import torch

        class Distance(torch.nn.Module):
            def forward(module, matched):
                gap = (matched.queries - matched.keys).abs() ** self.power
                return SCALE * gap.sum() / max(len(gap), 1)

        return Distance()
'''


DATA_SET = """
from helper import SCALE
from olivine.data.datasets.nuscenes import Nuscenes


class MyFrames:
    def __init__(self, frames):
        self.frames = frames

    def __getattr__(self, name):
        if name == "frames" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.frames, name)

    def __len__(self):
        return len(self.frames)


class MySet(Nuscenes):
    def open_at(self, root, cache_dir):
        return MyFrames(super().open_at(root, cache_dir))
"""
LABELLER = """
import numpy as np

from helper import SCALE
from olivine.labels.labeller import Labeller


class Halves(Labeller):
    '''The upper half of an image is one class, the lower one the other.'''

    @property
    def class_names(self):
        return ("above", "below")

    def build(self, device, frames):
        return halves


def halves(images, names):
    maps = []
    for image in images:
        ids = np.zeros(image.shape[:2], np.uint8)
        ids[len(ids) // 2 :] = 1
        maps.append(ids)
    return maps
"""
BACKBONE = """
from olivine.models.backbones.minkunet import MinkUNet


class MyNet(MinkUNet):
    pass
"""
FILES = {
    "my_loss.py": LOSS,
    "my_set.py": DATA_SET,
    "my_labels.py": LABELLER,
    "my_net.py": BACKBONE,
    "helper.py": "SCALE = 1.0\n",
}


def write_files(folder: Path) -> Path:
    """Write a loss, a data set, a labeller and a backbone; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def write_loss(folder: Path, scale: float = 1.0) -> Path:
    """Write a loss and the helper that it imports; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "helper.py").write_text(f"SCALE = {scale}\n")
    (folder / "my_loss.py").write_text(LOSS)
    return folder / "my_loss.py"


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    files: Mapping[str, str],
    offered: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Have a package found as pip would leave it: its files, and what it offers by group."""
    place = folder / package
    for name, text in files.items():
        path = place / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    about = place / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in (offered or {}).items()
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(place)
    forget(package)


def forget(*packages: str) -> None:
    """Have what is known of packages looked up again, as a new process would."""
    entry_points.offers.cache_clear()
    entry_points.offering_packages.cache_clear()
    code_hash._package_hash.cache_clear()
    code_hash._package_of.cache_clear()
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
