import json
import multiprocessing
import os
import shutil
import time

import numpy as np
import pyarrow as pa
import pytest

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes import build, index
from olivine.data.datasets.nuscenes.index import open_index
from olivine.data.geometry.rigid import inverse, se3


@pytest.fixture
def no_tables(monkeypatch):
    """Fail if any table is read or hashed."""

    def read(*_):
        raise AssertionError("a table was read")

    def forbid():
        monkeypatch.setattr(index, "build_table", read)
        monkeypatch.setattr(index, "_digest", read)

    return forbid


def test_a_later_start_reads_no_table(tiny, cache, no_tables):
    data = tiny()
    first = open_index(data.write(), "v1.0-mini", cache)
    no_tables()
    later = open_index(data.root, "v1.0-mini", cache)
    assert later.fingerprint == first.fingerprint
    assert later.file.table.equals(first.file.table)
    assert later.scenes == first.scenes == (("scene-0061", 0, 2), ("scene-0103", 2, 4))


def test_copied_tables_reuse_the_index_by_their_content(tiny, cache, tmp_path, monkeypatch):
    data = tiny()
    first = open_index(data.write(), "v1.0-mini", cache)
    shutil.copytree(data.root, tmp_path / "elsewhere")
    os.utime(data.table_path("sample"), ns=(1, 1))

    def build_table(_):
        raise AssertionError("the index was built again")

    monkeypatch.setattr(index, "build_table", build_table)
    for root in (data.root, tmp_path / "elsewhere"):
        assert open_index(root, "v1.0-mini", cache).file.path == first.file.path


def test_changed_tables_get_another_index(tiny, cache):
    data = tiny()
    first = open_index(data.write(), "v1.0-mini", cache)
    data.tables["sample"][0]["timestamp"] += 1
    data.write_tables()
    second = open_index(data.root, "v1.0-mini", cache)
    assert second.fingerprint != first.fingerprint
    assert second.time_ns[0] == first.time_ns[0] + 1000


@pytest.mark.parametrize("damage", ["index", "note", "both", "other rows"])
def test_a_damaged_cache_is_built_again(tiny, cache, damage):
    data = tiny()
    first = open_index(data.write(), "v1.0-mini", cache)
    expected, note = first.cam_SE3_lidar.copy(), next((cache / "nuscenes").glob("*.json"))
    if damage in ("note", "both"):
        note.write_text("{")
    if damage in ("index", "both"):
        content = first.file.path.read_bytes()
        first.file.path.unlink()
        first.file.path.write_bytes(content[: len(content) // 2])
    if damage == "other rows":
        first.file.path.unlink()
        with pa.ipc.new_file(str(first.file.path), pa.schema([])):
            pass
    with pytest.warns(UserWarning, match=r"(\.arrow|\.json) .*\.damaged now\. It is (built|made)"):
        again = open_index(data.root, "v1.0-mini", cache)
    np.testing.assert_array_equal(again.cam_SE3_lidar, expected)


def test_a_column_that_is_damaged_is_found_when_it_is_used_and_built_again(tiny, cache):
    data = tiny()
    first = open_index(data.write(), "v1.0-mini", cache)
    path, poses = first.file.path, first.cam_SE3_lidar.copy()
    content = bytearray(path.read_bytes())
    content[content.index(poses.tobytes()) + 5] ^= 1
    path.unlink()
    path.write_bytes(content)

    again = open_index(data.root, "v1.0-mini", cache)
    assert again.time_ns.tolist() == first.time_ns.tolist()
    with pytest.warns(UserWarning, match=r"its column cam_SE3_lidar .*\.damaged now"):
        np.testing.assert_array_equal(again.cam_SE3_lidar, poses)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    np.testing.assert_array_equal(
        open_index(data.root, "v1.0-mini", cache).cam_SE3_lidar, first.cam_SE3_lidar
    )


def test_an_index_of_an_earlier_version_is_read_with_a_note(tiny, cache, no_tables, caplog):
    data = tiny()
    first = open_index(data.write(), "v1.0-mini", cache)
    metadata = {b"olivine": first.file.metadata[b"olivine"]}
    table = first.file.table.replace_schema_metadata(metadata)
    first.file.path.unlink()
    with pa.ipc.new_file(str(first.file.path), table.schema) as writer:
        writer.write_table(table)
    no_tables()
    again = open_index(data.root, "v1.0-mini", cache)
    np.testing.assert_array_equal(again.cam_SE3_lidar, first.cam_SE3_lidar)
    assert "no checksum" in caplog.text


def test_any_reader_of_arrow_files_reads_the_index(tiny, cache):
    first = open_index(tiny().write(), "v1.0-mini", cache)
    table = pa.ipc.open_file(first.file.path.read_bytes()).read_all()
    assert table.equals(first.file.table)


def test_poses_are_the_five_steps_in_double_precision(tiny, cache):
    data = tiny()
    opened = open_index(data.write(), "v1.0-mini", cache)
    assert opened.cam_SE3_lidar.dtype == np.float64
    poses = {row["token"]: matrix(row) for row in data.tables["ego_pose"]}
    mounted = {row["token"]: matrix(row) for row in data.tables["calibrated_sensor"]}
    for frame in range(4):
        number, sample = divmod(frame, 2)
        lidar = f"LIDAR_TOP-{number}-{sample}"
        global_SE3_lidar = poses[lidar] @ mounted[f"calibrated-{number}-LIDAR_TOP"]
        for place, camera in enumerate(opened.cameras):
            global_SE3_cam = (
                poses[f"{camera}-{number}-{sample}"] @ mounted[f"calibrated-{number}-{camera}"]
            )
            np.testing.assert_allclose(
                opened.cam_SE3_lidar[frame, place],
                inverse(global_SE3_cam) @ global_SE3_lidar,
                atol=1e-8,
            )


def matrix(row):
    return se3(np.array(row["rotation"]), np.array(row["translation"]))


def test_sweeps_and_radars_are_left_out(tiny, cache):
    data = tiny()
    data.tables["sensor"].append({"token": "R", "channel": "RADAR_FRONT", "modality": "radar"})
    radar = {**data.tables["calibrated_sensor"][0], "token": "r", "sensor_token": "R"}
    data.tables["calibrated_sensor"].append(radar)
    row = data.tables["sample_data"][0]
    data.tables["sample_data"] += [
        {**row, "token": "radar", "calibrated_sensor_token": "r", "filename": "radar.pcd"},
        {**row, "token": "sweep", "is_key_frame": False, "filename": "sweep.bin"},
    ]
    data.write_tables()
    opened = open_index(data.root, "v1.0-mini", cache)
    assert opened.text("scan_name", 0) == row["filename"]
    assert not [name for name in opened.image_names.to_pylist() if "LIDAR" in name]


@pytest.mark.parametrize(
    ("table", "field", "words"),
    [
        ("sample_data", "ego_pose_token", "ego_pose 'lost'"),
        ("sample_data", "calibrated_sensor_token", "calibrated_sensor 'lost'"),
        ("sample_data", "sample_token", "sample 'lost'"),
        ("calibrated_sensor", "sensor_token", "sensor 'lost'"),
        ("scene", "first_sample_token", "sample 'lost'"),
        ("sample", "next", "sample 'lost'"),
    ],
)
def test_a_broken_link_stops_with_its_row_and_leaves_no_index(tiny, cache, table, field, words):
    data = tiny()
    data.tables[table][0][field] = "lost"
    data.write_tables()
    with pytest.raises(UserError, match=words) as caught:
        open_index(data.root, "v1.0-mini", cache)
    assert f"olivine data check {data.root}" in str(caught.value)
    assert not list((cache / "nuscenes").glob("*.arrow"))
    assert not list((cache / "nuscenes").glob("*.json"))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("sample", "next"), "sample-0-0", "never ends"),
        (("ego_pose", "rotation"), [0.0] * 4, "a pose that is none"),
        (("category", "name"), "vehicle.submarine", "vehicle.submarine"),
    ],
)
def test_values_that_cannot_be_are_named(tiny, cache, place, value, words):
    data, (table, field) = tiny(), place
    data.tables[table][0][field] = value
    data.write_tables()
    with pytest.raises(UserError, match=words):
        open_index(data.root, "v1.0-mini", cache)


def test_a_missing_root_says_how_to_set_it(tmp_path, cache):
    with pytest.raises(UserError, match=r"--set runtime\.data_root=PATH") as caught:
        open_index(tmp_path / "nowhere", "v1.0-mini", cache)
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_a_missing_version_says_which_there_are(tiny, cache, tmp_path):
    data = tiny()
    data.write_tables()
    with pytest.raises(UserError, match=r"No v1\.0-trainval .* it has v1\.0-mini"):
        open_index(data.root, "v1.0-trainval", cache)
    with pytest.raises(UserError, match="not the root of a nuScenes data set"):
        open_index(tmp_path, "v1.0-mini", cache)


@pytest.mark.parametrize("table", build.TABLES)
def test_a_missing_table_is_named(tiny, cache, table):
    data = tiny()
    data.write_tables()
    data.table_path(table).unlink()
    with pytest.raises(UserError, match=f"{table}.json is missing"):
        open_index(data.root, "v1.0-mini", cache)


@pytest.mark.parametrize("table", build.TABLES)
def test_a_broken_table_is_named(tiny, cache, table):
    data = tiny()
    data.write_tables()
    text = data.table_path(table).read_text()
    data.table_path(table).write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match=f"{table}.json is broken JSON"):
        open_index(data.root, "v1.0-mini", cache)


def test_a_cache_that_cannot_be_written_is_named(tiny, tmp_path):
    data = tiny()
    data.write_tables()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"runtime\.cache_dir=PATH"):
        open_index(data.root, "v1.0-mini", tmp_path / "file")


def _open(root, cache, barrier, answers):
    barrier.wait()
    opened = open_index(root, "v1.0-mini", cache)
    answers.put((opened.fingerprint, opened.cam_SE3_lidar.sum()))


def test_processes_that_build_at_once_agree(tiny, cache):
    data = tiny(num_samples=8)
    data.write_tables()
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    arguments = (data.root, cache, barrier, answers)
    workers = [context.Process(target=_open, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = {answers.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(found) == 1
    assert len(list((cache / "nuscenes").glob("*.arrow"))) == 1
    assert not list((cache / "nuscenes").glob(".*"))


def test_opening_again_is_fast(tiny, cache):
    data = tiny()
    open_index(data.write(), "v1.0-mini", cache)
    began = time.perf_counter()
    open_index(data.root, "v1.0-mini", cache)
    assert time.perf_counter() - began < 0.5


def test_tables_that_change_while_they_are_read_are_not_noted(tiny, cache, monkeypatch):
    data = tiny()
    data.write_tables()
    real = index.build_table

    def build_table(folder):
        table = real(folder)
        data.tables["scene"][0]["name"] = "another-scene"
        data.write_tables()
        return table

    monkeypatch.setattr(index, "build_table", build_table)
    with pytest.raises(UserError, match="changed while they were read"):
        open_index(data.root, "v1.0-mini", cache)
    monkeypatch.undo()
    assert open_index(data.root, "v1.0-mini", cache).scenes[0][0] == "another-scene"
    assert json.loads(next((cache / "nuscenes").glob("*.json")).read_text())["fingerprint"]
