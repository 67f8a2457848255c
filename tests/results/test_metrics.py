import pytest

from olivine.results.metrics import metric_label, prefers_lower


@pytest.mark.parametrize(
    ("name", "header", "of_difference"),
    [
        ("miou", "mIoU (%)", "pp"),
        ("iou/driveable_surface", "IoU of driveable surface (%)", "pp"),
        ("hours", "device time (h)", "h"),
        ("pretrain/step_s", "pretrain: time per step (s)", "s"),
        ("pretrain/peak_gpu_memory_gb", "pretrain: peak GPU memory (GB)", "GB"),
        ("probe/some_new_time_ms", "probe: some new time (ms)", "ms"),
        ("label/coverage_percent", "label: coverage (%)", "pp"),
        ("pretrain/pixel", "pretrain/pixel", ""),
        ("frames_per_s", "frames_per_s", ""),
        ("loss", "loss", ""),
        ("pretrain/cross_entropy", "pretrain: cross-entropy", ""),
    ],
)
def test_a_metric_has_words_and_its_unit(name: str, header: str, of_difference: str) -> None:
    label = metric_label(name)
    assert label.header == header
    assert label.unit_of_difference == of_difference


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("miou", False), ("iou/car", False), ("accuracy", False), ("num_points", False),
        ("coverage_percent", False), ("frames_per_s", False), ("loss", True),
        ("finetune/cross_entropy", True), ("hours", True), ("cost_usd", True),
        ("pretrain/step_s", True), ("pretrain/peak_memory_gb", True), ("mce", True),
    ],
)  # fmt: skip
def test_less_is_better_of_time_memory_money_and_errors(name: str, lower: bool) -> None:
    assert prefers_lower(name) is lower
