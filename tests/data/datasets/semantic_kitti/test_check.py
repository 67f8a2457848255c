"""The check lists every fault, and nothing where there is none."""

import numpy as np
import pytest

from olivine.cli.main import main
from olivine.data.datasets.semantic_kitti import layout
from olivine.data.datasets.semantic_kitti.check import check


@pytest.fixture
def short(monkeypatch):
    """Sequences of two scans, so that a small data set is whole."""
    monkeypatch.setattr(layout, "NUM_SCANS", dict.fromkeys(layout.NUM_SCANS, 2))


def test_a_whole_data_set_has_no_fault(kitti, short, capsys):
    data = kitti(s00=2, s11=2)
    data.labels("11", 0).parent.rename(data.root / "other")
    report = check(data.root, 2)
    assert (report.problems, report.num_files) == ((), 6)
    assert main(["data", "check", str(data.root)]) == 0
    assert "6 files below" in capsys.readouterr().out


def test_every_fault_is_listed(kitti, short, capsys):
    data = kitti(s00=2, s01=2, s02=1, s03=2, s04=2, s05=3)
    data.scan("00", 0).write_bytes(b"123")
    scan = np.fromfile(data.scan("00", 1), "<f4")
    scan[5] = np.nan
    data.scan("00", 1).write_bytes(scan.tobytes())
    data.labels("01", 0).write_bytes(b"1234")
    (data.labels("01", 0).parent / "000009.label").write_bytes(b"")
    data.labels("03", 1).write_bytes(np.full(60, 77, "<u4").tobytes())
    data.labels("04", 0).unlink()
    data.scan("05", 1).unlink()
    found = {
        (problem.path.relative_to(data.root / "sequences").as_posix(), problem.kind)
        for problem in check(data.root, 2).problems
    }
    assert found == {
        ("00/velodyne/000000.bin", "truncated"),
        ("00/labels/000000.label", "wrong label count"),
        ("00/velodyne/000001.bin", "unreadable"),
        ("01/labels/000000.label", "wrong label count"),
        ("01/labels/000009.label", "stray file"),
        ("02/velodyne", "incomplete"),
        ("03/labels/000001.label", "unknown class"),
        ("04/labels/000000.label", "missing file"),
        ("05/velodyne/000001.bin", "missing file"),
        ("05/labels/000001.label", "stray file"),
    }
    assert main(["data", "check", str(data.root)]) == 1
    assert "10 problems in" in capsys.readouterr().out
