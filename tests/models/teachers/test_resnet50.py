from pathlib import Path

import pytest
import torch
from torch import Tensor

from olivine.core.devices import tf32_products
from olivine.core.errors import UserError
from olivine.experiments.recipes import recipe
from olivine.methods.distillation import Frozen
from olivine.methods.features import read_map
from olivine.models.foundation.resnet import ResNet50, load_resnet50
from olivine.models.teachers.base import rounded_once
from olivine.models.teachers.filter_bank import FilterBankTeacher
from olivine.models.teachers.resnet50 import ResNet50Teacher
from olivine.training.config import PretrainConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "moco.pth.tar"
    state = ResNet50(dilated=True).network.state_dict()
    torch.save({"state_dict": {f"module.encoder_q.{k}": v for k, v in state.items()}}, path)
    return path


def test_it_is_frozen_and_gives_the_map_its_settings_promise(weights: Path) -> None:
    teacher = ResNet50Teacher(weights=str(weights))
    network = Frozen(teacher.build()).train()
    images = torch.randint(0, 255, (1, 3, 32, 64), dtype=torch.uint8)

    maps = network(images)

    assert maps.shape == (1, teacher.num_channels, 8, 16)
    assert not maps.requires_grad
    assert not any(module.training for module in network.network.modules())
    plain = teacher.override({"dilated": False}).build()
    assert plain(images).shape == (1, teacher.num_channels, 1, 2)


@pytest.mark.parametrize("dilated", [True, False])
@pytest.mark.parametrize("size", [(32, 64), (33, 51), (61, 30)])
def test_the_size_of_a_map_is_known_before_it_is_made(
    weights: Path, dilated: bool, size: tuple[int, int]
) -> None:
    teacher = ResNet50Teacher(weights=str(weights), dilated=dilated)
    with torch.no_grad():
        maps = teacher.build()(torch.zeros(1, 3, *size, dtype=torch.uint8))
    assert maps.shape[2:] == teacher.map_size(*size)


@pytest.mark.parametrize("has", [False, True])
def test_a_cpu_computes_in_bfloat16_where_it_has_it_and_in_float16_never(
    weights: Path, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olivine.core.devices.has_bfloat16", lambda: has)
    images = torch.randint(0, 255, (1, 3, 32, 64), dtype=torch.uint8)
    for precision in ("float32", "tf32", "float16", "bfloat16"):
        teacher = ResNet50Teacher(weights=str(weights), dilated=False, precision=precision)
        half = has and precision == "bfloat16"
        with torch.no_grad():
            maps = teacher.build()(images)
        assert maps.dtype == (torch.bfloat16 if half else torch.float32)
        assert teacher.dtype_on(CPU) == maps.dtype
        on_gpu = torch.float32 if precision == "tf32" else getattr(torch, precision)
        assert teacher.dtype_on(torch.device("cuda")) == on_gpu
        assert teacher.arithmetic("float16", torch.device("cuda")) == f"cuda {precision}"
        assert teacher.arithmetic("float16", CPU) == ("cpu bfloat16" if half else "cpu float32")


def test_weights_that_are_rounded_once_give_what_autocast_gives(weights: Path) -> None:
    images = torch.randint(0, 255, (2, 3, 32, 64), dtype=torch.uint8)
    network = load_resnet50(weights, dilated=True, dtype=torch.bfloat16).eval()
    at_every_call = network(images)
    rounded_once(network, torch.bfloat16)
    assert {weight.dtype for weight in network.parameters() if weight.ndim == 4} == {torch.bfloat16}
    assert torch.equal(network(images), at_every_call)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_tf32_is_allowed_in_its_own_calls_alone(
    weights: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = ResNet50Teacher(weights=str(weights), dilated=False, precision=precision)
    network = teacher.build(torch.device("cuda"))  # is not moved there
    seen, pixels = [], torch.randint(0, 255, (1, 3, 32, 64), dtype=torch.uint8)

    def fails(_: Tensor) -> Tensor:
        seen.append(torch.backends.cudnn.allow_tf32)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(network, "features", fails)
    for around in (False, True):
        with tf32_products(allowed=around):
            with pytest.raises(RuntimeError, match="out of memory"):
                network(pixels)
            assert torch.backends.cudnn.allow_tf32 == around
    assert seen == [precision == "tf32"] * 2


def test_compiling_is_of_a_machine_and_no_part_of_what_decides() -> None:
    assert ResNet50Teacher(compile=True).fingerprint() == ResNet50Teacher().fingerprint()
    assert not ResNet50Teacher().compile


def test_weights_are_known_by_their_content_wherever_they_lie(
    weights: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere.pth"
    moved.write_bytes(weights.read_bytes())
    one, other = (ResNet50Teacher(weights=str(path)) for path in (weights, moved))

    assert one.identity == other.identity
    assert one.fingerprint() == other.fingerprint()
    moved.write_bytes(moved.read_bytes()[:-1] + b"?")
    assert one.identity != ResNet50Teacher(weights=str(moved)).identity
    assert FilterBankTeacher().identity == ""


def test_no_weights_and_no_file_are_told(tmp_path: Path) -> None:
    for ask in (lambda teacher: teacher.identity, lambda teacher: teacher.build()):
        with pytest.raises(UserError, match=r"--set pretrained.teacher.weights=PATH"):
            ask(ResNet50Teacher())
        with pytest.raises(UserError, match="No weights"):
            ask(ResNet50Teacher(weights=str(tmp_path / "nothing.pth")))


def test_the_papers_recipes_have_it_and_a_random_start_needs_no_file() -> None:
    for name in ("olivine", "ppkt", "slidr", "st_slidr", "seal"):
        pretrained = recipe(name).pretrained
        assert isinstance(pretrained, PretrainConfig)
        assert pretrained.teacher == ResNet50Teacher()
    assert recipe("random").pretrained.num_epochs == 0


def test_a_map_in_half_precision_is_read_in_single() -> None:
    """Places of far pixels would fall between half precision's numbers."""
    maps = torch.arange(2048.0).expand(1, 4, 2, 2048).contiguous()
    pixels = torch.tensor([[0, 1, 8001]])

    found = read_map(maps.to(torch.bfloat16).float().half(), pixels, (8, 8192))
    exact = read_map(maps, pixels, (8, 8192))

    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=4e-3, atol=0)
