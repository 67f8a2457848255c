"""A folder of results: whole, resumed, and never mixed."""

import itertools
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.inference import (
    load_backbone,
)
from olivine.inference import output_folder as output_folders
from olivine.inference.output_folder import NOTE, OutputFolder
from olivine.inference.scan_outputs import predict_split, write_features
from olivine.inference.scan_sources import FileScans
from tests.support.kitti_scans import SmallKitti


def results_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_start_that_was_cut_off_goes_on_and_makes_nothing_twice(network, val, tmp_path):
    dataset_of = {"whole": tmp_path / "whole", "cut": tmp_path / "cut"}

    def run(folder: Path, report=None):
        from olivine.data.datasets.nuscenes import Nuscenes

        dataset = Nuscenes(version="v1.0-mini", split="mini_val")
        return predict_split(network, dataset, val, folder, device="cpu", report=report)

    run(dataset_of["whole"])

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dataset_of["cut"], interrupt)
    first = results_in(dataset_of["cut"])
    times = {path: path.stat().st_mtime_ns for path in dataset_of["cut"].rglob("*.bin")}
    assert len(times) == 2
    # What a process left that was killed while it wrote.
    half = next(iter(times)).parent / ".token_lidarseg.bin.0123abcd"
    half.write_bytes(b"\1\1")
    again = run(dataset_of["cut"])
    assert (again.num_written, again.num_kept) == (len(val) - 2, 2)
    assert not half.exists()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert results_in(dataset_of["cut"]) == results_in(dataset_of["whole"])
    assert first.items() <= {**results_in(dataset_of["cut"]), NOTE: first[NOTE]}.items()
    assert run(dataset_of["cut"]).num_written == 0


def test_a_half_written_file_never_stays(backbone, scan_files, tmp_path, monkeypatch):
    calls = itertools.count()
    replaced = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if next(calls) == 2:  # the note, the first result, and now the second
            raise OSError(28, "No space left on device")
        return replaced(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UserError, match="No space left on device"):
        write_features(backbone, FileScans.of(scan_files), tmp_path, device="cpu")
    monkeypatch.undo()
    names = FileScans.of(scan_files).names()
    assert set(results_in(tmp_path)) == {NOTE, f"{names[0]}.npz"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(f".{names[1]}")]
    assert (
        write_features(backbone, FileScans.of(scan_files), tmp_path, device="cpu").num_written == 2
    )


def test_results_of_two_networks_or_settings_never_mix(finished, backbone, scan_files, tmp_path):
    scans = FileScans.of(scan_files)
    write_features(backbone, scans, tmp_path, device="cpu")
    before = results_in(tmp_path)
    other = load_backbone(finished.finetuned.key.fingerprint, out=finished.out)
    with pytest.raises(UserError, match=r"holds results of other settings: weights was '[0-9a-f]+"):
        write_features(other, scans, tmp_path, device="cpu")
    with pytest.raises(UserError, match="dtype was 'float32' and is 'float16' now"):
        write_features(backbone, scans, tmp_path, dtype="float16", device="cpu")
    assert results_in(tmp_path) == before
    again = write_features(
        other, FileScans.of(scan_files[:1]), tmp_path, overwrite=True, device="cpu"
    )
    assert again.num_written == 1
    left = results_in(tmp_path)
    assert set(left) == {NOTE, f"{scans.names()[0]}.npz"}  # none of the other network's
    assert left[f"{scans.names()[0]}.npz"] != before[f"{scans.names()[0]}.npz"]


def test_overwriting_keeps_what_the_same_settings_made_of_other_scans(
    backbone, scan_files, tmp_path
):
    write_features(backbone, FileScans.of(scan_files), tmp_path, device="cpu")
    before = results_in(tmp_path)
    again = write_features(
        backbone, FileScans.of(scan_files[1:2]), tmp_path, overwrite=True, device="cpu"
    )
    assert again.num_written == 1
    assert results_in(tmp_path).keys() == before.keys()
    assert (
        write_features(backbone, FileScans.of(scan_files), tmp_path, device="cpu").num_written == 0
    )


def test_scans_of_one_name_never_mix(backbone, tmp_path):
    sequences = SmallKitti(tmp_path / "kitti", {"00": 2, "01": 1})
    with pytest.raises(UserError, match="would leave results of one name, '000000'"):
        FileScans.of([sequences.scan("00", 0), sequences.scan("01", 0)])
    out = tmp_path / "out"
    write_features(backbone, FileScans.of([sequences.scan("00", 0)]), out, device="cpu")
    with pytest.raises(UserError, match=r"has a 000000\.npz of another scan"):
        write_features(backbone, FileScans.of([sequences.scan("01", 0)]), out, device="cpu")


def test_a_scan_that_changed_is_done_again(backbone, tmp_path):
    kitti = SmallKitti(tmp_path / "kitti", {"00": 2})
    scans = [kitti.scan("00", number) for number in range(2)]
    write_features(backbone, FileScans.of(scans), tmp_path / "out", device="cpu")
    before = results_in(tmp_path / "out")
    scans[0].write_bytes(scans[0].read_bytes()[:-160])
    again = write_features(backbone, FileScans.of(scans), tmp_path / "out", device="cpu")
    assert (again.num_written, again.num_kept) == (1, 1)
    after = results_in(tmp_path / "out")
    assert before["000001.npz"] == after["000001.npz"]
    assert before["000000.npz"] != after["000000.npz"]


def test_a_file_that_somebody_else_left_is_not_taken_for_a_result(backbone, scan_files, tmp_path):
    scans = FileScans.of(scan_files)
    (tmp_path / f"{scans.names()[1]}.npz").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"and no olivine\.json that says what made it"):
        write_features(backbone, scans, tmp_path, device="cpu")
    assert (tmp_path / f"{scans.names()[1]}.npz").read_bytes() == b"mine"
    (tmp_path / NOTE).write_text("not JSON")
    with pytest.raises(UserError, match=r"olivine\.json cannot be read"):
        write_features(backbone, scans, tmp_path, device="cpu")
    assert write_features(backbone, scans, tmp_path, overwrite=True, device="cpu").num_written == 3


def test_two_processes_never_write_to_one_folder(backbone, scan_files, tmp_path):
    writing = OutputFolder(tmp_path, {}).opened(["a"], ["b"])
    with writing, pytest.raises(UserError, match="Another process is writing to"):
        write_features(backbone, FileScans.of(scan_files), tmp_path, device="cpu")
    with pytest.raises(UserError, match="Cannot write below"):
        write_features(
            backbone, FileScans.of(scan_files), scan_files[0] / "in a file", device="cpu"
        )


def test_a_hidden_file_is_known_by_how_the_store_names_it(tmp_path, monkeypatch):
    """The names that are cleaned up are those that `Store` gives to files that are not whole."""
    seen = []
    replaced = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (seen.append(path.name), replaced(path, target))[1]
    )
    Store(tmp_path).write("a/token_lidarseg.bin", b"")
    assert output_folders._HIDDEN.fullmatch(seen[0])
