"""What is written survives: every prefix of a file, forks, other processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.core.errors import UserError
from olivine.tracking import spool as spool_module
from olivine.tracking.spool import MetricSpool, left_behind
from tests.support import ROOT


def entries(spool: MetricSpool) -> list[dict]:
    return [one.entry for one in spool.pending()]


def number(value: float) -> dict:
    return {"kind": "metrics", "time_ms": 1, "step": 0, "values": {"loss": value}}


def test_entries_come_back_in_order_and_only_until_they_are_taken(tmp_path):
    spool = MetricSpool.create(tmp_path / "new", "run", {"name": "one"})
    assert not entries(spool)
    for value in (1.0, float("inf"), 3.0):
        spool.append(number(value))
    assert entries(spool) == [number(value) for value in (1.0, float("inf"), 3.0)]
    spool.mark_received(spool.pending()[1].end)
    spool.append(number(4.0))
    assert entries(spool) == [number(3.0), number(4.0)]
    spool.close()
    again = MetricSpool.adopt(spool.path)
    assert again.header == {"name": "one", "run_id": "run"}
    assert entries(again) == [number(3.0), number(4.0)]
    again.mark_received(again.end)
    assert (entries(again), again.num_waiting_bytes) == ([], 0)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 400), broken=st.booleans())
def test_a_file_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, cut, broken):
    folder = tmp_path_factory.mktemp("cut")
    spool = MetricSpool.create(folder, "run", {})
    first = spool.end
    for value in range(4):
        spool.append(number(float(value)))
    spool.close()
    data = spool.path.read_bytes()
    cut = max(first, len(data) - cut)
    spool.path.write_bytes(data[:cut] + (b'{"kind' if broken else b""))
    again = MetricSpool.adopt(spool.path)
    assert entries(again) == [number(float(v)) for v in range(data[first:cut].count(b"\n"))]
    again.append(number(9.0))  # what was torn is written over
    assert entries(again)[-1] == number(9.0)
    again.close()


def test_a_broken_line_is_an_entry_of_its_own(tmp_path):
    spool = MetricSpool.create(tmp_path, "run", {})
    spool.append(number(1.0))
    with spool.path.open("ab") as stream:
        stream.write(b"\x00\xff\n")
    spool.close()
    again = MetricSpool.adopt(spool.path)
    again.append(number(2.0))
    assert [entry["kind"] for entry in entries(again)] == ["metrics", "unreadable", "metrics"]


def test_only_one_has_it_and_a_dead_process_nobody(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from olivine.tracking.spool import MetricSpool\n"
        "spool = MetricSpool.create(Path(sys.argv[1]), 'run', {}); spool.append({'kind': 'a'})\n"
        "print('there', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "there\n"
    (path,) = left_behind(tmp_path)
    assert MetricSpool.adopt(path) is None
    process.kill()
    process.wait()
    adopted = MetricSpool.adopt(path)
    assert entries(adopted) == [{"kind": "a"}]
    assert MetricSpool.adopt(path) is None, "also within one process"
    adopted.remove()
    assert MetricSpool.adopt(path) is None


def test_a_forked_child_does_not_keep_it(tmp_path):
    spool = MetricSpool.create(tmp_path, "run", {})
    (there_r, there_w), (until_r, until_w) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # as a loader process that lives on when its parent was killed
        os.close(until_w)
        os.write(there_w, b"!")
        os.read(until_r, 1)
        os._exit(0)
    os.read(there_r, 1)
    spool.close()
    adopted = MetricSpool.adopt(spool.path)
    os.close(until_w)
    os.waitpid(child, 0)
    assert adopted is not None


def test_a_long_run_does_not_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "COMPACT_BYTES", 2000)
    spool = MetricSpool.create(tmp_path, "run", {})
    for value in range(200):
        spool.append(number(float(value)))
        if value % 5 == 4:
            assert entries(spool) == [number(float(v)) for v in range(value - 4, value + 1)]
            spool.mark_received(spool.pending()[-1].end)
    assert spool.path.stat().st_size < 3000
    spool.append(number(7.0))
    spool.close()
    assert entries(MetricSpool.adopt(spool.path)) == [number(7.0)]


def test_more_than_one_look_reads_and_one_entry_larger_than_it(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "READ_BYTES", 300)
    spool = MetricSpool.create(tmp_path, "run", {})
    long = {"kind": "params", "values": {"note": "x" * 1000}}
    for entry in (number(1.0), number(2.0), long, number(3.0)):
        spool.append(entry)
    seen = []
    while pending := spool.pending():
        seen += [one.entry for one in pending]
        spool.mark_received(pending[-1].end)
    assert seen == [number(1.0), number(2.0), long, number(3.0)]


def test_kept_files_go_with_the_box_unless_some_were_put_aside(tmp_path):
    source = tmp_path / "figure.png"
    source.write_bytes(b"drawn")
    spool = MetricSpool.create(tmp_path / "box", "run", {})
    first, second = spool.add_file(source), spool.add_text("code.diff", "+ one line")
    source.unlink()
    assert spool.file(first).read_bytes() == b"drawn"
    assert spool.file(second).name == "code.diff"
    path = spool.save_refused({"kind": "file", "name": second}, "not allowed")
    assert json.loads(path.read_text())["reason"] == "not allowed"
    spool.remove()
    assert not left_behind(tmp_path / "box")
    assert spool.file(second).exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"set runtime\.cache_dir") as caught:
        MetricSpool.create(tmp_path / "file", "run", {})
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_and_leaves_whole_lines():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        spool = MetricSpool.create(Path(folder), "run", {})
        spool.append(number(1.0))
        writable = os.dup(spool._descriptor)
        os.dup2(os.open(full, os.O_RDWR), spool._descriptor)
        with pytest.raises(UserError, match="No space left on device"):
            spool.append(number(2.0))
        os.dup2(writable, spool._descriptor)
        spool.append(number(3.0))
        assert entries(spool) == [number(1.0), number(3.0)]


def test_a_disk_that_takes_a_part_at_a_time_gets_all(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: real(file, data[:7], place))
    spool = MetricSpool.create(tmp_path, "run", {"name": "a run"})
    for value in (1.0, 2.0):
        spool.append(number(value))
    spool.mark_received(spool.pending()[0].end)
    spool.close()
    again = MetricSpool.adopt(spool.path)
    assert again.header == {"name": "a run", "run_id": "run"}
    assert entries(again) == [number(2.0)]


@pytest.mark.parametrize("content", [b"", b"\n", b"12", b"0" * 20, b"\x00" * 300, b"[]\n[]\n1\n"])
def test_a_file_without_its_header_is_renamed_and_named(tmp_path, content, caplog):
    path = tmp_path / "1-run.outbox"
    path.write_bytes(content)
    assert MetricSpool.adopt(path) is None
    assert left_behind(tmp_path) == []
    assert (tmp_path / "1-run.outbox.damaged").read_bytes() == content
    assert "1-run.outbox is damaged" in caplog.text


def test_a_cut_line_is_set_aside_and_named(tmp_path, caplog):
    spool = MetricSpool.create(tmp_path, "run", {})
    for value in (1.0, 2.0):
        spool.append(number(value))
    spool.close()
    spool.path.write_bytes(spool.path.read_bytes()[:-9])
    again = MetricSpool.adopt(spool.path)
    assert entries(again) == [number(1.0)]
    refused = spool.path.with_suffix(".refused")
    assert "its line was cut" in refused.read_text()
    assert str(refused) in caplog.text
    assert spool.path.stat().st_size == again.end


def test_a_damaged_position_sends_everything_again(tmp_path, caplog):
    spool = MetricSpool.create(tmp_path, "run", {})
    for value in (1.0, 2.0):
        spool.append(number(value))
    spool.mark_received(spool.end)
    spool.close()
    data = bytearray(spool.path.read_bytes())
    data[19] ^= 1
    spool.path.write_bytes(data)
    assert entries(MetricSpool.adopt(spool.path)) == [number(1.0), number(2.0)]
    assert "sent again" in caplog.text


def test_a_file_of_an_earlier_version_is_sent_to_its_end(tmp_path):
    path = tmp_path / "1-run.outbox"
    header = json.dumps({"name": "a run", "run_id": "run"})
    lines = [json.dumps(number(value)) for value in (1.0, 2.0)]
    start = 20 + len(header) + 2
    path.write_text("\n".join([f"{start + len(lines[0]) + 1:020d}", header, *lines, ""]))
    spool = MetricSpool.adopt(path)
    assert entries(spool) == [number(2.0)]
    spool.mark_received(spool.end)
    spool.close()
    assert entries(MetricSpool.adopt(path)) == []
