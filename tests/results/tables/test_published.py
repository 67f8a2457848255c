import csv
from importlib import resources

import pytest

from olivine.results.tables.published import (
    difference_in_print,
    evaluation_called,
    in_print,
    protocol_called,
    protocol_of,
    published_tables,
)


def lines():
    with resources.files("olivine.results.tables").joinpath("published.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_published_numbers_know_their_sources():
    known = in_print("methods")
    for place, value in (
        (("OLIVINE", "linear_probe"), 50.09),
        (("OLIVINE v1", "linear_probe"), 47.3),
        (("Seal", "finetune_1"), 45.84),
        (("SLidR", "finetune_10"), 59.84),
    ):
        assert known[(*place, "miou")].value == value
    assert in_print("nothing") == {}
    assert {"methods", "components", "cost", "transfer", "detection", "robustness"} <= set(
        published_tables()
    )


def test_every_number_is_one_and_says_how_it_is_known():
    keys = [(line["table"], line["row"], line["protocol"], line["metric"]) for line in lines()]
    assert len(set(keys)) == len(keys)
    for line in lines():
        float(line["value"])
        assert line["how"] in {"printed", "derived", "secondary"}
        assert len(line["source"]) > 10


def test_derived_scores_follow_from_the_differences_in_print():
    known = in_print("components")
    for row in ("+ class contrast", "+ vMF", "+ both", "OLIVINE"):
        gain = known[f"{row} over PPKT", "linear_probe", "miou_difference"]
        assert gain.how == "printed"
        base, score = (known[name, "linear_probe", "miou"].value for name in ("PPKT", row))
        assert score == pytest.approx(base + gain.value, abs=0.06)


def numbers(table, protocol):
    """Return the numbers of a table by row and metric."""
    found = {}
    for (row, of, metric), number in in_print(table).items():
        if of == protocol:
            found.setdefault(row, {})[metric] = number.value
    return found


def test_a_mean_over_classes_is_that_of_its_cells():
    classes = [f"ap_r40/{name}" for name in ("car", "pedestrian", "cyclist")]
    rows = numbers("detection", "kitti_moderate").values()
    whole = [row for row in rows if {"ap_r40", *classes} <= row.keys()]
    assert len(whole) == 9
    for row in whole:
        # The cells are rounded to a tenth, and so is their mean.
        assert row["ap_r40"] == pytest.approx(sum(row[name] for name in classes) / 3, abs=0.1)


CORRUPTIONS = [
    f"miou/{name}"
    for name in (
        *("fog", "wet_ground", "snow", "motion_blur"),
        *("beam_missing", "crosstalk", "incomplete_echo", "cross_sensor"),
    )
]
CONTRADICTS_ITS_CELLS = {("nuscenes_c", "PPKT")}


@pytest.mark.parametrize(
    ("protocol", "num_rows"), [("nuscenes_c", 11), ("nuscenes_c_linear_probe", 4)]
)
def test_a_mean_corruption_error_is_that_of_its_cells(protocol, num_rows):
    baseline = numbers("robustness", "nuscenes_c")["MinkUNet-18, baseline of mCE"]
    rows = {
        name: row
        for name, row in numbers("robustness", protocol).items()
        if set(CORRUPTIONS) <= row.keys()
    }
    assert len(rows) == num_rows + (protocol == "nuscenes_c")
    for name, row in rows.items():
        errors = [(100 - row[cell]) / (100 - baseline[cell]) for cell in CORRUPTIONS]
        from_cells = 100 * sum(errors) / len(errors)
        agrees = row["mce"] == pytest.approx(from_cells, abs=0.006)
        assert agrees == ((protocol, name) not in CONTRADICTS_ITS_CELLS), (name, from_cells)


def test_a_mean_resilience_is_that_of_its_cells_and_of_the_score_without_corruption():
    clean = {
        row: score.value
        for (row, of, _), score in in_print("methods").items()
        if of == "finetune_100"
    }
    robust = numbers("robustness", "nuscenes_c")
    for name in ("random", "SLidR", "Seal"):
        rates = [robust[name][cell] / clean[name] for cell in CORRUPTIONS]
        assert robust[name]["mrr"] == pytest.approx(100 * sum(rates) / len(rates), abs=0.006)


def test_numbers_that_contradict_their_cells_are_kept_beside_what_the_cells_give():
    known = in_print("robustness")
    for metric, printed, from_cells in (("mce", 105.64, 105.94), ("mrr", 76.06, 75.96)):
        in_cells = known["PPKT, from its cells", "nuscenes_c", metric]
        assert (in_cells.value, in_cells.how) == (from_cells, "derived")
        assert known["PPKT", "nuscenes_c", metric].value == printed
        assert "contradicts" in known["PPKT", "nuscenes_c", metric].source


def test_a_difference_in_print_is_read_either_way_round():
    known, what = in_print("design_choices"), ("finetune_1", "miou")
    assert difference_in_print(known, "OLIVINE", "shared heads", what).value == 3.53
    assert difference_in_print(known, "shared heads", "OLIVINE", what).value == -3.53
    assert difference_in_print(known, "shared heads", "PPKT", what) is None


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        ({"protocol": "linear_probe"}, "linear_probe"),
        ({"protocol": "finetune", "train.kind": "nuscenes"}, "finetune_100"),
        ({"protocol": "finetune", "train.scene_step": "4"}, "finetune_25"),
        ({"protocol": "finetune", "train.scene_step": "8"}, "finetune_12.5"),
        (
            {"protocol": "finetune", "train.kind": "semantic_kitti", "train.frame_step": "100"},
            "semantic_kitti_1",
        ),
        ({"protocol": "linear_probe", "train.kind": "another"}, ""),
        ({}, ""),
    ],
)
def test_an_experiment_has_the_protocol_that_its_settings_say(settings, protocol):
    assert protocol_of(settings) == protocol


@pytest.mark.parametrize(
    ("protocol", "called"),
    [
        ("linear_probe", "linear probe"),
        ("finetune_1", "1 %"),
        ("finetune_12.5", "12.5 %"),
        ("semantic_kitti_100", "SemanticKITTI 100 %"),
    ],
)
def test_a_protocol_has_a_name_for_a_column_and_is_found_by_it(protocol, called):
    assert evaluation_called(protocol) == called
    assert protocol_called(called) == protocol


def test_every_protocol_in_print_is_found_by_its_name():
    protocols = {line["protocol"] for line in lines()}
    assert {protocol_called(evaluation_called(name)) for name in protocols} == protocols
