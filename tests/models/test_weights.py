import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from olivine.cli.main import main
from olivine.core.errors import UserError
from olivine.core.parts import part_class
from olivine.labels.labeller import Labeller
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.sam_segments import SamSegments
from olivine.models import weights
from olivine.models.backbones.base import Backbone
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.teachers.base import Teacher
from olivine.models.teachers.resnet50 import ResNet50Teacher
from olivine.models.weights import (
    WeightFile,
    Weights,
    fetch,
    locate,
    problems,
    published,
    weights_identity,
)

CONTENT = bytes(range(256)) * 20_000  # 5 MB: more than one chunk


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves a folder, part of a file too if asked, and keeps what was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.asked.append(self.headers.get("Range", "all"))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()[int(start[1]) if start else 0 :]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    asked: list[str] = []
    handler = type("Handler", (RangeHandler,), {"asked": asked})
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", folder, asked
    http.shutdown()
    http.server_close()


def net(url: str, content: bytes = CONTENT) -> Weights:
    digest = hashlib.sha256(content).hexdigest()
    return Weights("net", (WeightFile("net.pth", f"{url}/net.pth", len(content), digest),), "MIT")


def test_fetching_leaves_a_whole_file_and_asks_no_second_time(
    server: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    url, _, asked = server
    fetch(net(url), tmp_path / "w")
    fetch(net(url), tmp_path / "w")

    assert [path.name for path in (tmp_path / "w").iterdir()] == ["net.pth"]
    assert (tmp_path / "w" / "net.pth").read_bytes() == CONTENT
    assert asked == ["all"]


def test_fetching_goes_on_where_it_stopped(
    server: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    url, _, asked = server
    (tmp_path / ".net.pth.partial").write_bytes(CONTENT[:1000])

    fetch(net(url), tmp_path)

    assert asked == ["bytes=1000-"]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_another_file_than_published_is_not_kept(
    server: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    url, folder, _ = server
    (folder / "net.pth").write_bytes(CONTENT[::-1])

    with pytest.raises(UserError, match=r"another file than published .* nothing was kept"):
        fetch(net(url), tmp_path / "w")
    assert list((tmp_path / "w").iterdir()) == []


def test_a_connection_that_ends_early_keeps_what_came(
    server: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    url, folder, _ = server
    (folder / "net.pth").write_bytes(CONTENT[:3_000_000])

    with pytest.raises(UserError, match="the same command goes on"):
        fetch(net(url), tmp_path)
    assert (tmp_path / ".net.pth.partial").read_bytes() == CONTENT[:3_000_000]


def test_no_server_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot fetch http://127.0.0.1:9/net.pth.*copy the file"):
        fetch(net("http://127.0.0.1:9"), tmp_path)


def test_a_copy_is_whole_or_its_problem_is_named(tmp_path: Path) -> None:
    wanted = net("http://nowhere")
    assert "missing" in next(problems(wanted, tmp_path))

    (tmp_path / "net.pth").write_bytes(CONTENT[1:])
    assert f"{len(CONTENT) - 1} bytes, not {len(CONTENT)}" in next(problems(wanted, tmp_path))

    (tmp_path / "net.pth").write_bytes(CONTENT[::-1])
    assert not list(problems(wanted, tmp_path, read=False))
    assert "SHA-256 differs" in next(problems(wanted, tmp_path))

    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert not list(problems(wanted, tmp_path))


def test_every_published_file_is_complete_in_the_manifest() -> None:
    for name, some in published().items():
        for file in some.files:
            assert file.url.startswith("https://"), name
            assert re.fullmatch("[0-9a-f]{64}", file.sha256), name
            assert file.size_bytes > 0
        assert some.licence


def test_missing_weights_name_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OLIVINE_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match=rf"weights fetch sam_vit_b --folder {tmp_path}"):
        locate("sam_vit_b")
    with pytest.raises(UserError, match="Did you mean 'sam_vit_b'"):
        locate("sam_vit_bb")


def test_a_labs_own_file_is_told_apart_by_content(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one.pth", "same.pth", "other.pth"))
    one.write_bytes(b"1")
    same.write_bytes(b"1")
    other.write_bytes(b"2")

    assert weights_identity(str(one)) == weights_identity(str(same)) != weights_identity(str(other))
    other.write_bytes(b"1")
    assert weights_identity(str(other)) == weights_identity(str(one))


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02."])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a file of weights"):
        weights.read_state(path)


def test_a_list_is_no_state(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "net.pth")
    with pytest.raises(UserError, match="holds a list"):
        weights.read_state(tmp_path / "net.pth")


def test_the_commands_list_check_and_fetch(
    server: tuple[str, Path, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, _, _ = server
    file = net(url).files[0]
    manifest = tmp_path / "weights.csv"
    manifest.write_text(
        "name,file,url,size_bytes,sha256,licence\n"
        f"net,{file.name},{file.url},{file.size_bytes},{file.sha256},MIT\n"
    )
    monkeypatch.setattr(weights, "MANIFEST", manifest)
    published.cache_clear()
    try:
        place = ["--folder", str(tmp_path / "w")]
        assert main(["weights", "check", *place]) == 1
        assert "is missing" in capsys.readouterr().out
        assert main(["weights", "fetch", "net", *place]) == 0
        assert main(["weights", "check", *place]) == 0
        assert main(["weights", "list", *place]) == 0
        out = capsys.readouterr().out
        assert "net: 5 MB, MIT, here" in out
        assert file.sha256 in out
        assert main(["weights", "fetch"]) == 2
        assert "needs names: net" in capsys.readouterr().err
        assert main(["weights", "fetch", "nat"]) == 2
        assert "Did you mean 'net'" in capsys.readouterr().err
    finally:
        published.cache_clear()


def test_a_path_of_weights_is_absolute_once_it_is_set_and_a_name_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may have another working directory than the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "mine.pth").write_bytes(b"weights")
    (tmp_path / "bert-base-uncased").mkdir()  # the published name comes first
    for given, kept in {
        "mine.pth": f"{tmp_path}/mine.pth",
        "./mine.pth": f"{tmp_path}/mine.pth",
        "weights/other.pth": f"{tmp_path}/weights/other.pth",
        "~/other.pth": f"{tmp_path}/home/other.pth",
        "/srv/other.pth": "/srv/other.pth",
        "sam_vit_h": "sam_vit_h",
        "bert-base-uncased": "bert-base-uncased",
        "sam_vit_hh": "sam_vit_hh",
        "": "",
    }.items():
        assert GroundedSam(segmenter=given).segmenter == kept
        assert SamSegments(segmenter=given).segmenter == kept
        assert ResNet50Teacher(weights=given).weights == kept
        assert MinkUNet(weights=given).weights == kept


def test_every_part_that_names_weights_has_such_a_setting() -> None:
    words = {"weights", "segmenter", "detector", "text_encoder"}
    for family in (Labeller, Teacher, Backbone):
        for kind in family.built_in:
            part = part_class(family, kind)
            for name in words & part.model_fields.keys():
                assert part.model_fields[name].metadata, (kind, name)
