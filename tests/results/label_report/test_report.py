"""`olivine label report` as a person uses it: files, page, run store, mistakes."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from olivine.cli import main as cli
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.slic import Slic
from olivine.results.label_report.report import ReportConfig, label_report
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import NullTracker
from tests.support.html_reader import HtmlReader

CAMERAS = ("CAM_FRONT", "CAM_BACK")
NUM_FRAMES = 4  # of mini_val in the tiny world


@pytest.fixture(scope="module")
def labelled(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with labels of two cameras and the store of their run."""
    out = tmp_path_factory.mktemp("labelled")
    assert cli.main(["label", "demo", *settings(tiny_world, out)]) == 0
    return out


def settings(world: Path, out: Path) -> list[str]:
    return [
        f"--set=runtime.data_root={world}",
        f"--set=runtime.out={out}",
        f"--set=runtime.cache_dir={out / 'cache'}",
        "--set=runtime.launcher=process",
        "--set=pretrained.data.split=mini_val",
        f"--set=pretrained.data.cameras=[{','.join(CAMERAS)}]",
    ]


@pytest.fixture(scope="module")
def report(labelled: Path, tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a report on the first two frames' worth of a sample."""
    folder = tmp_path_factory.mktemp("report")
    words = ["--max-frames=2", f"--folder={folder}", *settings(tiny_world, labelled)]
    assert cli.main(["label", "report", "demo", *words]) == 0
    return folder


def read_page(folder: Path) -> HtmlReader:
    return HtmlReader((folder / "index.html").read_text())


def test_the_page_stands_alone_and_fits_a_phone(report: Path) -> None:
    page, text = read_page(report), (report / "index.html").read_text()

    # histogram, IoU, ranges; three frames of two cameras
    sources = page.values("src", "href")
    assert len(sources) == 3 + 3 * len(CAMERAS)
    assert all(re.match(r"data:image/(png|jpeg);base64,[\w/+]", source) for source in sources)
    assert all(page.values("alt")), "words for those who cannot see a picture"
    assert not re.search(r"https?://|<script|@import|url\(", text)
    assert 'name="viewport" content="width=device-width' in text
    assert len(text) < 5_000_000


def test_the_page_says_what_the_tables_say(report: Path, labelled: Path) -> None:
    text = read_page(report).text
    classes, cameras = pd.read_csv(report / "classes.csv"), pd.read_csv(report / "cameras.csv")

    assert f"2 of {NUM_FRAMES}" in text
    car = classes[classes["label"] == "car"].iloc[0]
    for name in ("pixels_percent", "precision_percent", "recall_percent", "iou_percent"):
        assert f"{car[name]:.1f}" in text
    assert classes["pixels_percent"].sum() == pytest.approx(100, abs=0.01)
    assert set(cameras["camera"]) == set(CAMERAS)
    assert Embedded().identity in text
    assert Embedded.note in text
    assert "--max-frames 2" in text
    assert str(labelled) in text  # the exact command
    assert "version.torch" in text


def test_points_of_tables_add_up(report: Path) -> None:
    cameras, ranges = pd.read_csv(report / "cameras.csv"), pd.read_csv(report / "ranges.csv")

    totals = [table[table["class"] == "all"]["num_points"].sum() for table in (cameras, ranges)]
    assert totals[0] == totals[1] > 100
    for table in (cameras, ranges):
        scores = table.filter(like="_percent").stack().dropna()
        assert scores.between(0, 100).all()


def test_a_report_is_one_run_however_often_it_is_made(
    report: Path, labelled: Path, tiny_world: Path, tmp_path: Path
) -> None:
    tracker = MlflowTracker(f"sqlite:///{labelled / 'mlflow.db'}")
    (before,) = tracker.records("label_report")
    words = [f"--folder={tmp_path}", *settings(tiny_world, labelled)]

    assert cli.main(["label", "report", "demo", "--max-frames=2", *words]) == 0

    (run,) = tracker.records("label_report")
    assert run == before
    assert run.status == "FINISHED"
    for name in ("classes.csv", "histogram.png", "histogram.pdf"):
        assert (tmp_path / name).read_bytes() == (report / name).read_bytes()
    artifacts = {item.path for item in open_client(tracker.uri).list_artifacts(run.run_id)}
    assert {
        "index.html",
        "classes.csv",
        "cameras.csv",
        "ranges.csv",
        "iou.png",
        "iou.pdf",
    } <= artifacts
    pictures = open_client(tracker.uri).list_artifacts(run.run_id, "frames")
    assert len(pictures) == 3 * len(CAMERAS)
    (labelling,) = tracker.records("label")
    assert run.tags["label_run"] == labelling.key.fingerprint
    classes = pd.read_csv(tmp_path / "classes.csv").set_index("label")
    share = run.metrics["points_percent/road"]
    assert share == pytest.approx(classes.loc["road", "points_percent"], abs=1e-4)

    assert cli.main(["label", "report", "demo", "--max-frames=1", *words]) == 0
    assert len(tracker.records("label_report")) == 2, "another sample is another run"


@pytest.fixture
def ask(
    labelled: Path, tiny_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a command on a copy of the labels, without a report: status and what it wrote."""
    shutil.copytree(labelled / "labels", tmp_path / "out" / "labels")

    def run(*words: str) -> tuple[int, str]:
        arguments = ["label", "report", "demo", *settings(tiny_world, tmp_path / "out"), *words]
        try:
            status = cli.main(arguments)
        except SystemExit as leaving:
            status = int(str(leaving.code))
        written = capsys.readouterr()
        return status, written.err or written.out

    return run


def tokens(world: Path, cache: Path) -> list[str]:
    dataset = Nuscenes(version="v1.0-mini", split="mini_val", cameras=CAMERAS)
    return list(dataset.open(world, cache).tokens())


def test_mistakes_are_one_line(
    ask: Callable[..., tuple[int, str]], tiny_world: Path, tmp_path: Path
) -> None:
    token = tokens(tiny_world, tmp_path)[1]
    (tmp_path / "file").write_text("")
    for words, expected in (
        (["--frames", token[:-2] + "xx"], f"Did you mean '{token}'?"),
        ([f"--folder={tmp_path / 'file'}"], "name another by --folder"),
        (["--max-frames=-1"], "--max-frames takes a number of at least 0"),
    ):
        status, line = ask(*words)
        assert status == cli.USER_ERROR
        assert expected in line
        assert line.count("\n") == 1


def test_chosen_frames_are_drawn_and_missing_maps_counted(
    ask: Callable[..., tuple[int, str]], tiny_world: Path, tmp_path: Path
) -> None:
    first, second, *_ = tokens(tiny_world, tmp_path)
    maps = sorted((tmp_path / "out" / "labels").rglob("*.png"))
    (gone,) = {p for p in maps if "CAM_FRONT" in p.parts and is_of(p, second, tiny_world, tmp_path)}
    gone.unlink()
    folder = tmp_path / "report"

    status, text = ask("--frames", f"{second},{first}", f"--folder={folder}")

    assert status == 0
    assert f"1 of {NUM_FRAMES * len(CAMERAS)} images have no labels" in text
    assert f"{NUM_FRAMES} of {NUM_FRAMES} frames (7 images)" in text
    assert {path.name for path in folder.glob("frame-*.png")} == {
        f"frame-{first}-CAM_FRONT.png",
        f"frame-{first}-CAM_BACK.png",
        f"frame-{second}-CAM_BACK.png",
    }
    for path in maps:
        path.unlink(missing_ok=True)
    status, line = ask()
    assert status == cli.USER_ERROR
    assert "run `olivine label`" in line
    shutil.rmtree(tmp_path / "out" / "labels")
    assert "run `olivine label`" in ask()[1]


def is_of(path: Path, token: str, world: Path, cache: Path) -> bool:
    """Say whether a label map is of an image of the frame."""
    dataset = Nuscenes(version="v1.0-mini", split="mini_val", cameras=CAMERAS)
    frames = dataset.open(world, cache)
    names = frames.frame(list(frames.tokens()).index(token), images=False).image_names
    return path.stem in {Path(name).stem for name in names}


def test_labels_made_from_the_truth_are_marked_everywhere(
    labelled: Path, tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Embedded, "reads_truth", True)
    monkeypatch.setattr(Embedded, "reads", ())  # of the images alone, when the labels were made
    dataset = Nuscenes(version="v1.0-mini", split="mini_val", cameras=CAMERAS)
    labels = LabelConfig(dataset=dataset, labeller=Embedded())
    runtime = Runtime(data_root=str(tiny_world), out=str(labelled), cache_dir=str(tmp_path))

    result = label_report(
        ReportConfig(labels=labels, max_frames=1), runtime, NullTracker(), folder=tmp_path / "new"
    )

    assert "made from the truth" in result.lines[0]
    page = (tmp_path / "new" / "index.html").read_text()
    banner = page.index("made from the truth")
    assert banner < page.index("counted frames")
    assert 'class="warn stop"' in page[:banner]


def test_segments_have_no_classes_to_be_judged(tiny_world: Path, tmp_path: Path) -> None:
    dataset = Nuscenes(version="v1.0-mini", split="mini_val", cameras=CAMERAS)
    labels = LabelConfig(dataset=dataset, labeller=Slic())
    runtime = Runtime(data_root=str(tiny_world), out=str(tmp_path), cache_dir=str(tmp_path))

    with pytest.raises(UserError, match=r"'slic' writes segments .* name one that writes classes"):
        label_report(ReportConfig(labels=labels), runtime, NullTracker())


def test_real_keyframes_without_truth_say_so(shared_data: Path, tmp_path: Path) -> None:
    dataset = Nuscenes(version="v1.0-mini", split="all", cameras=("CAM_FRONT",))
    labels = LabelConfig(dataset=dataset, labeller=Embedded())
    runtime = Runtime(
        data_root=str(shared_data / "nuscenes_scene0061_keyframe0"),
        out=str(tmp_path / "out"),
        cache_dir=str(tmp_path),
    )
    label(labels, runtime, NullTracker())

    result = label_report(ReportConfig(labels=labels), runtime, NullTracker(), command="<b>&")

    page = read_page(result.files[0].parent)
    assert "has no true classes of points" in page.text
    assert Embedded.note in page.text
    assert "<b>&" in page.text, "what a person typed is shown, not obeyed"
    assert not any(name.startswith("point_iou") for name in result.metrics)
    assert result.metrics["num_images"] == 1
