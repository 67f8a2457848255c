import os

import pytest
from PIL import Image

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes.check import check
from olivine.data.datasets.nuscenes.links import LINKS
from olivine.data.datasets.nuscenes.tables import LIDAR


def faults(data):
    """Path below the root and kind of every problem."""
    report = check(data.root, data.version, num_threads=2)
    return {
        (problem.path.relative_to(data.root).as_posix(), problem.kind)
        for problem in report.problems
    }


def test_a_whole_data_set_has_no_fault_and_every_file_is_counted(tiny):
    data = tiny()
    steps = []
    report = check(data.write(), "v1.0-mini", 2, lambda done, total: steps.append((done, total)))
    assert report.problems == ()
    assert report.num_files == 4 * 7 + 4 + 1  # sensors, labels, the map
    assert steps[-1] == (33, 33)
    assert report.num_skipped == 0


def test_real_keyframes_have_no_fault(shared_data):
    for folder, version in (
        ("nuscenes_scene0061_keyframe0", "v1.0-mini"),
        ("nuscenes_val_fd842039", "v1.0-trainval"),
    ):
        report = check(shared_data / folder, version, num_threads=2)
        assert report.problems == ()
        assert report.num_files == 8


def test_every_broken_file_is_in_one_report(tiny):
    data = tiny()
    data.write()
    scans = [row["filename"] for row in data.rows("sample_data", LIDAR)]
    images = [row["filename"] for row in data.rows("sample_data", "CAM_BACK")]
    labels = [row["filename"] for row in data.tables["lidarseg"]]
    cut(data, scans[0], 64 * 20 - 3)
    cut(data, scans[1], 0)
    (data.root / scans[2]).unlink()
    (data.root / labels[2]).unlink()
    cut(data, images[0], 400)
    (data.root / images[1]).write_bytes(b"no image")
    (data.root / images[2]).unlink()
    Image.new("RGB", (4, 4)).save(data.root / images[3], "JPEG")
    cut(data, labels[3], 10)
    (data.root / labels[0]).write_bytes(b"\x20" * 63)
    (data.root / "lidarseg/v1.0-mini/stray.bin").write_bytes(b"\0")
    cut(data, "maps/map.png", 30)
    assert faults(data) == {
        (scans[0], "truncated"),
        (scans[1], "empty file"),
        (labels[1], "wrong label count"),  # 64 labels for no point
        (scans[2], "missing file"),
        (labels[2], "missing file"),
        (images[0], "truncated"),
        (images[1], "unreadable"),
        (images[2], "missing file"),
        (images[3], "wrong size"),
        (labels[3], "wrong label count"),
        (labels[0], "unknown class"),
        ("lidarseg/v1.0-mini/stray.bin", "stray file"),
        ("maps/map.png", "truncated"),
    }


def cut(data, name, num_bytes):
    os.truncate(data.root / name, num_bytes)


LINKED = [
    (table, column)
    for table, links in LINKS.items()
    for column in links.to
    if table not in ("instance", "sample_annotation", "panoptic")
]


@pytest.mark.parametrize(("table", "column"), LINKED)
def test_every_link_is_followed(tiny, table, column):
    data = tiny()
    row = data.tables[table][0]
    row[column] = ["lost"] if column in LINKS[table].lists else "lost"
    data.write()
    report = check(data.root, data.version, num_threads=2)
    found = [problem for problem in report.problems if problem.kind == "broken link"]
    assert any(
        problem.path == data.table_path(table)
        and f"{column} 'lost'" in problem.detail
        and repr(row["token"]) in problem.detail
        for problem in found
    )


def test_boxes_and_their_chains_are_followed(tiny):
    data = tiny(["scene-0061"], num_samples=3)
    add_boxes(data)
    data.write()
    assert faults(data) == set()
    boxes = data.tables["sample_annotation"]
    boxes[1]["prev"] = "box-2"
    boxes[2]["attribute_tokens"] = ["attribute", "lost"]
    boxes[0]["visibility_token"] = "lost"
    data.tables["instance"][0]["nbr_annotations"] = 4
    data.write_tables()
    assert faults(data) == {
        ("v1.0-mini/sample_annotation.json", "broken chain"),
        ("v1.0-mini/sample_annotation.json", "broken link"),
        ("v1.0-mini/instance.json", "wrong count"),
    }
    details = [problem.detail for problem in check(data.root, data.version).problems]
    assert any("row 2 ('box-2'): attribute_tokens 'lost'" in detail for detail in details)
    assert any("nbr_annotations is 4, sample_annotation.json has 3" in text for text in details)


def add_boxes(data):
    data.tables["attribute"] = [{"token": "attribute"}]
    data.tables["visibility"] = [{"token": "1"}]
    row = {"token": "instance", "category_token": "category-17", "nbr_annotations": 3}
    row |= {"first_annotation_token": "box-0", "last_annotation_token": "box-2"}
    data.tables["instance"] = [row]
    names = ["", "box-0", "box-1", "box-2", ""]
    for place in range(3):
        row = {"token": names[place + 1], "sample_token": f"sample-0-{place}"}
        row |= {"instance_token": "instance", "visibility_token": "", "attribute_tokens": []}
        row |= {"prev": names[place], "next": names[place + 2]}
        data.tables["sample_annotation"].append(row)


def test_a_broken_chain_of_files_is_found(tiny):
    data = tiny()
    first = data.rows("sample_data", "CAM_FRONT")[0]
    other = data.rows("sample_data", "CAM_BACK")[1]
    first["next"] = other["token"]
    data.write()
    report = check(data.root, data.version, num_threads=2)
    assert {problem.kind for problem in report.problems} == {"broken chain"}
    assert any(repr(first["token"]) in problem.detail for problem in report.problems)


def test_keyframes_without_a_channel_or_with_two_are_named(tiny):
    data = tiny()
    rows = data.tables["sample_data"]
    lost = data.rows("sample_data", "CAM_BACK")[0]
    twice = data.rows("sample_data", "CAM_FRONT")[0]
    rows.remove(lost)
    data.rows("sample_data", "CAM_BACK")[0]["prev"] = ""
    rows.append({**twice, "token": "again", "prev": "", "next": ""})
    data.write()
    report = check(data.root, data.version, num_threads=2)
    assert {(problem.kind, problem.detail) for problem in report.problems} == {
        ("missing channel", "sample 'sample-0-0' has 0 keyframes of CAM_BACK"),
        ("channel twice", "sample 'sample-0-0' has 2 keyframes of CAM_FRONT"),
    }


def test_missing_and_unreadable_tables_do_not_stop_the_check(tiny):
    data = tiny()
    data.write()
    data.table_path("visibility").unlink()
    data.table_path("scene").write_text("[{")
    scan = data.rows("sample_data", LIDAR)[0]["filename"]
    cut(data, scan, 19)
    found = faults(data)
    assert ("v1.0-mini/visibility.json", "missing table") in found
    assert ("v1.0-mini/scene.json", "unreadable table") in found
    assert (scan, "truncated") in found


@pytest.mark.parametrize("table", [name for name, links in LINKS.items() if links.needed])
def test_any_table_may_be_missing_or_broken(tiny, table):
    data = tiny()
    data.write()
    data.table_path(table).write_text("[")
    assert (f"v1.0-mini/{table}.json", "unreadable table") in faults(data)
    data.table_path(table).unlink()
    assert (f"v1.0-mini/{table}.json", "missing table") in faults(data)


def test_an_identity_used_twice_is_found(tiny):
    data = tiny()
    data.tables["log"].append(data.tables["log"][0])
    data.write()
    assert faults(data) == {("v1.0-mini/log.json", "identity used twice")}


def test_scans_without_labels_and_labels_without_scans_are_found(tiny):
    data = tiny()
    labels = data.tables["lidarseg"]
    image = data.rows("sample_data", "CAM_BACK")[0]["token"]
    labels[0]["sample_data_token"] = labels[0]["token"] = image
    data.write()
    report = check(data.root, data.version, num_threads=2)
    assert {problem.kind for problem in report.problems} == {"missing label", "broken link"}


def test_sweeps_are_read_if_the_data_set_has_any(tiny):
    data = tiny()
    row = data.rows("sample_data", LIDAR)[0]
    sweep = {**row, "token": "sweep", "is_key_frame": False, "filename": "sweeps/LIDAR_TOP/a.bin"}
    data.tables["sample_data"].append({**sweep, "prev": "", "next": ""})
    data.write()
    cut(data, "sweeps/LIDAR_TOP/a.bin", 21)
    assert faults(data) == {("sweeps/LIDAR_TOP/a.bin", "truncated")}
    (data.root / "sweeps/LIDAR_TOP/a.bin").unlink()
    assert faults(data) == {("sweeps/LIDAR_TOP/a.bin", "missing file")}
    (data.root / "sweeps/LIDAR_TOP").rmdir()
    (data.root / "sweeps").rmdir()
    report = check(data.root, data.version, num_threads=2)
    assert report.problems == ()
    assert report.num_skipped == 1


RADAR = b"# .PCD v0.7\nFIELDS x y\nSIZE 4 4\nTYPE F F\nCOUNT 1 1\nPOINTS 3\nDATA binary\n"


@pytest.mark.parametrize(
    ("content", "kind"),
    [(RADAR + b"\0" * 24, None), (RADAR + b"\0" * 20, "truncated"), (b"\0" * 24, "unreadable")],
)
def test_radar_files_hold_what_their_header_says(tiny, content, kind):
    data = tiny()
    data.tables["sensor"].append({"token": "R", "channel": "RADAR_FRONT", "modality": "radar"})
    radar = {**data.tables["calibrated_sensor"][0], "token": "r", "sensor_token": "R"}
    data.tables["calibrated_sensor"].append(radar)
    row = {**data.tables["sample_data"][0], "token": "radar", "calibrated_sensor_token": "r"}
    row["filename"] = "samples/RADAR_FRONT/a.pcd"
    data.tables["sample_data"].append({**row, "prev": "", "next": ""})
    data.write()
    (data.root / row["filename"]).write_bytes(content)
    assert faults(data) == ({(row["filename"], kind)} if kind else set())


def test_a_missing_root_or_version_is_the_users_mistake(tiny, tmp_path):
    data = tiny()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="it is no folder"):
        check(tmp_path / "file", "v1.0-mini")
    with pytest.raises(UserError, match="the folder is not there"):
        check(tmp_path / "nowhere", "v1.0-mini")
    data.write_tables()
    with pytest.raises(UserError, match=r"it has v1\.0-mini"):
        check(data.root, "v1.0-test")
