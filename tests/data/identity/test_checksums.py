"""A manifest of contents sees what names and sizes do not, and reads those of others."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from olivine.cli.main import main
from olivine.core.errors import UserError
from olivine.data.identity.checksums import compare_with_manifest, read_manifest
from tests.support.servers.bucket_server import BUCKET, copy_to_bucket, s3_server


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in range(6):
        path = root / "samples" / f"CAM_{number % 2}" / f"an image {number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 10)
    (root / "maps").mkdir()
    (root / "maps" / "map.png").write_bytes(b"map")
    return root


def differences(root: str | Path, manifest: Path) -> list[tuple[str, str]]:
    found = compare_with_manifest(root, manifest, 2, quiet).differences
    return [(one.name, one.kind) for one in found]


def test_a_manifest_is_written_and_names_every_change(data: Path, capsys) -> None:
    manifest = data / "SHA256SUMS"
    assert main(["data", "check", str(data), "--hash", str(manifest)]) == 0
    assert "7 files" in capsys.readouterr().out
    assert main(["data", "check", str(data), "--hash", str(manifest)]) == 0
    assert "All 7 files" in capsys.readouterr().out
    subprocess.run(["sha256sum", "--quiet", "-c", manifest.name], cwd=data, check=True)

    (data / "samples/CAM_0/an image 0.jpg").write_bytes(b"x" * 10)  # of the same size
    (data / "samples/CAM_1/an image 1.jpg").unlink()
    (data / "samples/CAM_1/an image 3.jpg").rename(data / "samples/CAM_1/other.jpg")
    assert main(["data", "check", str(data), "--hash", str(manifest)]) == 1
    said = capsys.readouterr().out
    assert "2 missing, 1 changed, 1 new, of 7 files" in said
    assert differences(data, manifest) == [
        ("samples/CAM_1/an image 1.jpg", "missing"),
        ("samples/CAM_1/an image 3.jpg", "missing"),
        ("samples/CAM_0/an image 0.jpg", "changed"),
        ("samples/CAM_1/other.jpg", "new"),
    ]


def test_a_published_list_of_some_folders_with_sizes_is_read(data: Path, tmp_path: Path) -> None:
    names = [f"samples/CAM_0/an image {number}.jpg" for number in (0, 2, 4)]
    lines = ["# keyframes"]
    lines += [f"{hashlib.sha256((data / n).read_bytes()).hexdigest()}  {n}  10" for n in names]
    manifest = tmp_path / "list.sha256"
    manifest.write_text("\n".join(lines) + "\n")
    assert differences(data, manifest) == []  # maps and CAM_1 are of no folder in it
    (data / names[0]).write_bytes(b"longer than before")
    ((_, kind, detail),) = compare_with_manifest(data, manifest, 2, quiet).differences
    assert (kind, detail) == ("changed", "it has 18 bytes, 10 by the manifest")


def test_real_lists_are_read(shared_data: Path) -> None:
    keyframes = read_manifest(
        shared_data / "splits_and_manifests/nuscenes_v1.0-mini_keyframes.sha256"
    )
    assert len(keyframes) == 4828
    name = "samples/CAM_BACK/n008-2018-08-01-15-16-36-0400__CAM_BACK__1533151603537558.jpg"
    assert keyframes[name].size == 108796
    sums = shared_data / "SHA256SUMS"
    one = {name: listed for name, listed in read_manifest(sums).items() if "camvid" in name}
    for name, listed in list(one.items())[:3]:
        assert hashlib.sha256((shared_data / name).read_bytes()).hexdigest() == listed.sha256


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "sums"
    manifest.write_text(f"{'0' * 64}  a\n{'0' * 63}  b\n")
    with pytest.raises(UserError, match=r"Line 2 of .*sums is not one of sha256sum's"):
        read_manifest(manifest)
    manifest.write_text("\n")
    with pytest.raises(UserError, match="names no file"):
        read_manifest(manifest)
    with pytest.raises(UserError, match="Cannot read the manifest"):
        read_manifest(tmp_path)


def test_a_bucket_has_the_manifest_of_the_disk(data: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with s3_server():
        uri = f"s3://{BUCKET}/data"
        copy_to_bucket(data, uri)
        for root, manifest in ((data, here), (uri, there)):
            assert main(["data", "check", str(root), "--hash", str(manifest)]) == 0
        assert here.read_text() == there.read_text()
        assert main(["data", "check", uri, "--hash", str(here)]) == 0
