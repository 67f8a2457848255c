"""A compiled network is the same network."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from olivine.models.compiling import compiled
from tests.support import ROOT

CPU = torch.device("cpu")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(images)).relu()


@pytest.mark.slow
def test_it_says_the_same_and_its_weights_keep_their_names() -> None:
    images, plain = torch.rand(2, 3, 8, 10), Small().eval()
    network = compiled(Small().eval(), CPU, "setting")
    copies = copy.deepcopy(network), pickle.loads(pickle.dumps(network))

    with torch.no_grad():
        expected = plain(images)
        with torch.compiler.set_stance("fail_on_recompile"):
            with pytest.raises(RuntimeError, match="recompile"):
                network(images)
            for one in copies:  # they are not compiled
                assert torch.equal(one(images), expected)
        torch.testing.assert_close(network(images), expected)
    assert network.state_dict().keys() == plain.state_dict().keys()


WITHOUT = """
import torch
from olivine.models.compiling import compiled
from olivine.core.errors import UserError
try:
    compiled(torch.nn.ReLU(), torch.device("cpu"), "pretrained.teacher.compile")
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_without_a_compiler_the_start_says_so_in_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    (sentence,) = answer.stdout.splitlines()
    assert sentence.startswith("pretrained.teacher.compile=true: torch.compile fails on this ")
    assert "No working C++ compiler" in sentence
    assert sentence.endswith("or use --set pretrained.teacher.compile=false.")
