from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from olivine.core.errors import UserError
from olivine.core.parts import part_class
from olivine.core.user_parts import run_by
from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.catalogue import olivine_method, ppkt_method
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.losses.sup_con.loss import sup_con
from olivine.methods.matched import WHOLE, StepPart
from olivine.methods.method import Method
from olivine.methods.objective import Objective
from tests.support.feature_rows import FeatureRows

NUM_PAIRS, NUM_CHANNELS, NUM_CLASSES = 240, 16, 5
GENERATOR = torch.Generator().manual_seed(0)
POINTS, PIXELS = (
    {head: torch.randn(NUM_PAIRS, NUM_CHANNELS, generator=GENERATOR) for head in ("pixel", "class")}
    for _ in range(2)
)
PAIRS = PairTable(
    voxel_index=torch.arange(NUM_PAIRS),
    pixel_index=torch.zeros(NUM_PAIRS, 3, dtype=torch.long),
    class_ids=torch.randint(0, NUM_CLASSES, (NUM_PAIRS,), generator=GENERATOR),
    range_m=60 * torch.rand(NUM_PAIRS, generator=GENERATOR),
    frame_index=torch.arange(NUM_PAIRS) // 60,  # four frames
)


WARM = {"terms.compact.loss.warmup_steps": 0, "terms.compact.loss.freeze": False}


class Rows(FeatureRows):
    """Features of pair i are row i, asked for by the pair's voxel."""

    def __init__(self):
        self.leaves = {head: rows.clone().requires_grad_() for head, rows in POINTS.items()}

    def points(self, head: str, pairs: PairTable) -> torch.Tensor:
        return F.normalize(self.leaves[head][pairs.voxel_index], dim=1)

    def pixels(self, head: str, pairs: PairTable) -> torch.Tensor:
        return F.normalize(PIXELS[head][pairs.voxel_index], dim=1)


def run(
    method: Method,
    pairs: PairTable = PAIRS,
    frames_per_group: int = 2,
    first_group: int = 0,
    part: StepPart = WHOLE,
):
    objective = Objective(method, NUM_CHANNELS, NUM_CLASSES)
    rows = Rows()
    total, values = objective(
        rows,
        {"pixel": pairs},
        lambda frame: first_group + frame // frames_per_group,
        lambda term, group: torch.Generator().manual_seed(100 * term + group),
        part,
    )
    return total, values, rows, objective


def test_ppkt_is_info_nce_within_each_contrast_group():
    total, values, rows, _ = run(ppkt_method())
    query, key = rows.points("pixel", PAIRS), rows.pixels("pixel", PAIRS)
    halves = [info_nce(query[half], key[half], 0.07) for half in (slice(0, 120), slice(120, 240))]
    torch.testing.assert_close(total, torch.stack(halves).mean())
    assert set(values) == {"pixel"}


def test_olivine_is_the_weighted_sum_of_its_terms():
    method = olivine_method().override(WARM)
    total, values, _, _ = run(method)
    expected = 0.5 * values["pixel"] + 0.5 * values["class"] + values["compact"]
    torch.testing.assert_close(total, expected)
    assert values["compact"] != 0


def test_every_term_sends_a_gradient_to_its_own_head_alone():
    for name, head in (("pixel", "pixel"), ("class", "class"), ("compact", "class")):
        weights = {f"terms.{t}.weight": float(t == name) for t in ("pixel", "class", "compact")}
        method = olivine_method().override({**weights, **WARM})
        total, values, rows, _ = run(method)
        total.backward()
        assert set(values) == {name}
        other = "pixel" if head == "class" else "class"
        assert rows.leaves[head].grad.abs().sum() > 0
        assert rows.leaves[other].grad is None


def test_two_workers_with_half_the_batch_have_the_loss_of_one_with_all_of_it():
    """What DDP averages over workers is the mean over groups, so the whole is the same."""
    method = olivine_method().override(
        {"terms.pixel.sample.num_pairs": 50, "terms.class.sample.num_pairs": 50}
    )
    whole, *_ = run(method)
    shares = [
        run(method, PAIRS.take((PAIRS.frame_index // 2) == worker), 2)[0] for worker in (0, 1)
    ]
    torch.testing.assert_close(torch.stack(shares).mean(), whole)


def test_a_group_without_pairs_counts_alike_for_any_number_of_workers():
    """The second of two workers has a group without pairs; both name the groups that they have."""
    settings = {**WARM, "terms.compact.loss.bank": "per_group"}
    sampled = {f"terms.{name}.sample.num_pairs": 50 for name in ("pixel", "class")}
    method = olivine_method().override(settings | sampled)
    pairs = PAIRS.take(PAIRS.frame_index != 3)
    _, values, _, objective = run(method, pairs, 1, part=StepPart(groups=range(4)))
    halves = [
        run(method, pairs.take(pairs.frame_index // 2 == worker), 1, part=StepPart(groups=groups))
        for worker, groups in enumerate((range(2), range(2, 4)))
    ]
    torch.testing.assert_close((halves[0][1]["pixel"] + halves[1][1]["pixel"]) / 2, values["pixel"])
    torch.testing.assert_close((halves[0][1]["class"] + halves[1][1]["class"]) / 2, values["class"])
    assert objective.num_sampled["pixel"] == [50, 50, 50, 0]
    assert objective.sampled_pairs()["pixel"] == (50, 0)  # which a run's first step refuses
    mean = objective.losses["compact"].mean
    means = [half[3].losses["compact"].mean for half in halves]
    torch.testing.assert_close(torch.stack(means).mean(0), mean)  # each worker's own here


def test_the_same_draws_give_the_same_loss():
    method = ppkt_method().override({"terms.pixel.sample.num_pairs": 30})
    assert torch.equal(run(method)[0], run(method)[0])
    assert not torch.equal(run(method)[0], run(ppkt_method())[0])


def test_the_official_way_makes_unlabelled_pixels_a_class_of_their_own():
    half = torch.where(torch.arange(NUM_PAIRS) % 2 == 0, IGNORE, PAIRS.class_ids)
    pairs = PairTable(PAIRS.voxel_index, PAIRS.pixel_index, half, PAIRS.range_m, PAIRS.frame_index)
    only_class = {"terms.pixel.weight": 0, "terms.compact.weight": 0}
    ours = olivine_method().override(only_class)
    official = ours.override({"ignored_as_class": True})
    _, values, rows, _ = run(official, pairs, frames_per_group=4)
    classes = torch.where(half == IGNORE, NUM_CLASSES, half)
    expected = sup_con(rows.points("class", PAIRS), rows.pixels("class", PAIRS), classes, 0.07)
    torch.testing.assert_close(values["class"], expected)
    assert run(ours, pairs, frames_per_group=4)[1]["class"] != values["class"]


def test_a_batch_without_a_single_label_leaves_the_pixel_term_alone():
    nothing = torch.full((NUM_PAIRS,), IGNORE)
    pairs = PairTable(
        PAIRS.voxel_index, PAIRS.pixel_index, nothing, PAIRS.range_m, PAIRS.frame_index
    )
    total, values, rows, _ = run(olivine_method().override(WARM), pairs)
    total.backward()
    assert values["class"] == values["compact"] == 0
    torch.testing.assert_close(total, 0.5 * values["pixel"])
    assert (rows.leaves["class"].grad == 0).all()


def test_weight_zero_removes_a_term_and_its_head():
    method = olivine_method().override({"terms.class.weight": 0, "terms.compact.weight": 0})
    assert method.heads == ("pixel",)
    assert not method.uses_classes
    assert list(Objective(method, 8, 5).losses) == ["pixel"]


@pytest.mark.parametrize("name", ["density_temperature", "category_temperature"])
def test_the_class_terms_sampler_can_be_turned_off_factor_by_factor(name):
    method = olivine_method().override({f"terms.class.sample.{name}": 0.0})
    assert run(method)[0].isfinite()


def test_the_bank_is_watched():
    *_, objective = run(olivine_method())
    metrics = objective.state_metrics()
    assert set(metrics) > {"compact/kappa_mean", "compact/kappa/0", "compact/warm"}
    assert metrics["compact/classes_seen"].item() == NUM_CLASSES


class Scans(Rows):
    """Two views of points, and of scans."""

    def views(self, head: str, pairs: PairTable) -> torch.Tensor:
        return F.normalize(PIXELS[head][pairs.view_index], dim=1)

    def scans(self, head: str) -> torch.Tensor:
        return F.normalize(POINTS[head][:4], dim=1)

    def scan_keys(self, head: str) -> torch.Tensor:
        return F.normalize(PIXELS[head][:4], dim=1)


def test_points_of_two_views_are_compared_as_points_with_pixels_are():
    method = ppkt_method().override({"terms.pixel.match": "view", "terms.pixel.sample": None})
    pairs = replace(PAIRS, pixel_index=None, view_index=torch.arange(NUM_PAIRS).flip(0))
    objective = Objective(method, NUM_CHANNELS, NUM_CLASSES)

    total, _ = objective(Scans(), {"view": pairs}, torch.zeros_like, no_draw)

    query, key = F.normalize(POINTS["pixel"], dim=1), F.normalize(PIXELS["pixel"], dim=1).flip(0)
    torch.testing.assert_close(total, info_nce(query, key, 0.07))
    assert method.uses_second_view
    assert not method.uses_images
    assert not method.uses_pixels
    assert not method.uses_momentum


def test_whole_scans_are_compared_with_their_second_views():
    method = ppkt_method().override({"terms.pixel.match": "scan", "terms.pixel.sample": None})
    frames = PAIRS.take(torch.arange(4))
    objective = Objective(method, NUM_CHANNELS, NUM_CLASSES)

    total, _ = objective(Scans(), {"scan": frames}, torch.zeros_like, no_draw)

    torch.testing.assert_close(
        total, info_nce(Scans().scans("pixel"), Scans().scan_keys("pixel"), 0.07)
    )
    assert method.uses_second_view
    assert method.uses_momentum


def no_draw(term: int, group: int) -> torch.Generator:
    return torch.Generator()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms.class.match": "view"}, "no sampler or loss that needs weak labels"),
        ({"terms.pixel.match": "scan"}, "compares every scan: it takes no sampler"),
        (
            {"terms.pixel.match": "view", "terms.pixel.pool": {"kind": "segment"}},
            "is for match='pixel', not 'view'",
        ),
    ],
)
def test_terms_that_make_no_sense_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        olivine_method().override(change)


def test_a_loss_on_the_teachers_own_features_has_their_width():
    settings = {"terms.compact.project_pixels": False, "terms.compact.head": "teacher"}
    objective = Objective(olivine_method().override(settings), NUM_CHANNELS, NUM_CLASSES, 7)

    assert objective.losses["compact"].mean.shape == (NUM_CLASSES, 7)


def loss_of_a_user(folder: Path, build: str) -> Loss:
    """Return a loss of a file, with this code of `build`."""
    lines = [
        "import torch",
        "from olivine.methods.losses.base import Loss",
        "class Mine(Loss):",
        "    def build(self, num_channels, num_classes):",
        *(f"        {line}" for line in build.splitlines()),
    ]
    (folder / "mine.py").write_text("\n".join(lines))
    return part_class(Loss, f"{folder}/mine.py:Mine")()


WRONG_FORWARD = """
class Module(torch.nn.Module):
    def forward(self, matched):
        return {value}
return Module()
"""


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        ("return 5", "returned a value of type int, and it must return a torch.nn.Module"),
        ("raise KeyError('width')", "fails: KeyError: 'width'. olivine"),
        (WRONG_FORWARD.format(value="matched.query"), "no attribute 'query'"),
        (WRONG_FORWARD.format(value="matched.queries @ matched.keys"), "fails: RuntimeError: "),
        (WRONG_FORWARD.format(value="1.0"), "returned a value of type float, and a loss must"),
        (WRONG_FORWARD.format(value="matched.queries.sum(1)"), r"Tensor and shape \(120,\)"),
    ],
)
def test_a_users_loss_that_is_wrong_is_told_with_its_check(tmp_path, build, reason):
    loss = loss_of_a_user(tmp_path, build)
    with pytest.raises(UserError, match=reason) as told:
        run(ppkt_method().override({"terms.pixel.loss": loss}))
    assert "mine.py:Mine@" in str(told.value)
    assert "olivine.testing.check_loss finds such mistakes" in str(told.value)


def test_errors_of_our_parts_and_of_the_machine_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), run_by(InfoNCE()):  # a fault of the library
        raise KeyError("mine")
    loss = loss_of_a_user(tmp_path, "return torch.nn.Identity()")
    for error in (MemoryError(), torch.OutOfMemoryError()):
        with pytest.raises(type(error)), run_by(loss):
            raise error
    with pytest.raises(UserError, match=r"^Mine already\.$"), run_by(loss):
        raise UserError("Mine already.")
