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
    assert {"methods", "components", "cost"} <= set(published_tables())


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


def test_a_difference_in_print_is_read_either_way_round():
    known, what = in_print("components"), ("finetune_1", "miou")
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
