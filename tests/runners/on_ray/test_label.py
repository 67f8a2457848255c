import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.labels.store import LabelStore
from olivine.runners.on_ray.label import ImageSource, label_on_ray
from olivine.tracking.tracker import NullTracker
from tests.support import image_folder
from tests.support.image_folder import FINGERPRINT, Folder, Threshold, files_below, write_images

pytestmark = pytest.mark.usefixtures("local_ray")


def runtime_of(root: Path, out: Path, **changes: object) -> Runtime:
    settings = {"data_root": str(root), "out": str(out), "label_batch_size": 4, **changes}
    return Runtime.from_dict({"cache_dir": str(out / "cache"), **settings})


def config_of(**settings: object) -> LabelConfig:
    return LabelConfig(dataset=Folder(), labeller=Threshold.model_validate(settings))


def test_ray_and_one_process_write_the_same_bytes_and_numbers(tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = write_images(root, 30)
    broken = root / names[7]
    broken.write_bytes(broken.read_bytes()[:200])
    config = config_of(refuse_mean=130)

    alone = label(config, runtime_of(root, tmp_path / "alone"), NullTracker(), lambda *_: None)
    reports: list[tuple[int, int]] = []
    runtime = runtime_of(root, tmp_path / "ray", num_label_actors=2)
    on_ray = label_on_ray(config, runtime, NullTracker(), lambda *a: reports.append(a))

    assert files_below(tmp_path / "ray" / "labels") == files_below(tmp_path / "alone" / "labels")
    for field in ("num_images", "num_done_before", "num_labelled", "failed", "class_pixels"):
        assert getattr(on_ray, field) == getattr(alone, field)
    assert on_ray.quality == alone.quality
    assert reports[-1] == (30, 30)
    assert names[7] in on_ray.failed
    assert any("too bright" in reason for reason in on_ray.failed.values())
    assert on_ray.num_labelled + on_ray.num_failed == 30


def test_ray_datas_console_is_quiet_and_other_handlers_keep_their_level(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_images(root, 3)
    mine, log = logging.StreamHandler(), logging.getLogger("ray.data")
    log.addHandler(mine)
    try:
        label_on_ray(config_of(), runtime_of(root, tmp_path / "out"), NullTracker())
        consoles = [h for h in log.handlers if type(h).__name__ == "PlainRayHandler"]
        assert {handler.level for handler in consoles} == {logging.ERROR}
        assert mine.level == logging.NOTSET
    finally:
        log.removeHandler(mine)


def test_a_finished_job_is_not_run_again(tmp_path: Path) -> None:
    root, log = tmp_path / "data", tmp_path / "log"
    write_images(root, 9)
    runtime = runtime_of(root, tmp_path / "out")
    config = config_of(log=str(log))

    first = label_on_ray(config, runtime, NullTracker())
    calls, files = log.read_text(), files_below(tmp_path / "out" / "labels")
    again = label_on_ray(config, runtime, NullTracker())

    assert (first.num_labelled, first.num_done_before) == (9, 0)
    assert (again.num_labelled, again.num_done_before, again.num_failed) == (0, 9, 0)
    assert log.read_text() == calls
    assert files_below(tmp_path / "out" / "labels") == files


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    write_images(root, 4)
    folder = out / "labels" / f"{FINGERPRINT}-0ddba11"
    folder.mkdir(parents=True)
    (folder / "samples").write_text("a file where a folder is needed")

    with pytest.raises(UserError, match=r"Cannot write .*image-000\.png"):
        label_on_ray(config_of(), runtime_of(root, out), NullTracker())


def test_every_block_of_images_is_one_read_task(tmp_path: Path) -> None:
    names = write_images(tmp_path, 10)
    source = ImageSource(image_folder.FolderFrames(tmp_path), names, blocks=[4, 4, 2], batch=2)

    tasks = source.get_read_tasks(parallelism=1)

    assert [task.metadata.num_rows for task in tasks] == [4, 4, 2]
    rows = [row for task in tasks for table in task() for row in table.to_pylist()]
    assert [row["image_name"] for row in rows] == names


@pytest.mark.slow
def test_maps_are_written_before_all_images_are_read(tmp_path: Path) -> None:
    # Many blocks: reading them all takes much longer than the first writing process to start.
    root, diary = tmp_path / "data", tmp_path / "diary"
    names = write_images(root, 4000)

    class FirstMapError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise FirstMapError

    with pytest.raises(FirstMapError):
        label_on_ray(
            config_of(diary=str(diary)),
            runtime_of(root, tmp_path / "out", label_batch_size=1),
            NullTracker(),
            stop,
        )

    assert 0 < len(diary.read_text().splitlines()) < len(names)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"missing": "There are no weights; fetch them."}, r"^There are no weights; fetch them\.$"),
        ({"cut_rows": 1}, r"^The labeller .* returned uint8 of shape \(\d+, \d+\) for samples/"),
        ({"bright_id": 7}, "^The labeller gave class 7 to pixels of samples/.* names 2 classes"),
    ],
    ids=["cannot be loaded", "maps of another size", "a class without a name"],
)
def test_a_labeller_that_is_wrong_ends_the_job_at_once(
    settings: dict[str, object], reason: str, tmp_path: Path
) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    write_images(root, 30)
    began_s = time.monotonic()

    with pytest.raises(UserError, match=reason):
        label_on_ray(
            config_of(**settings), runtime_of(root, out, num_label_actors=2), NullTracker()
        )

    assert time.monotonic() - began_s < 30
    assert list(out.rglob("*.png")) == list(out.rglob("*.txt")) == []


def test_too_many_failures_stop_the_job_and_free_its_actors(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    names = write_images(root, 200)

    with pytest.raises(UserError, match=r"of the first \d+ images failed.*ValueError: too bright"):
        label_on_ray(config_of(refuse_mean=0), runtime_of(root, out), NullTracker())

    failed = LabelStore(out, FINGERPRINT, "0ddba11").failed()
    assert len(failed) >= 100
    assert set(failed) <= set(names)
    deadline_s = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < deadline_s, "an actor still holds its CPU"
        time.sleep(0.1)


def test_actors_halve_a_batch_that_does_not_fit_and_nothing_is_lost(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_images(root, 30)
    config = config_of(num_fitting=3, diary=str(tmp_path / "diary"))

    runtime = runtime_of(root, tmp_path / "out", label_batch_size=0)
    result = label_on_ray(config, runtime, NullTracker())

    assert (result.num_labelled, result.num_failed) == (30, 0)
    assert len((tmp_path / "diary").read_text().splitlines()) == 30


def pids_in(diary: Path) -> list[int]:
    """Return the processes that labelled something, in the order of their first image."""
    lines = diary.read_text().splitlines() if diary.exists() else []
    return list(dict.fromkeys(int(line.split()[0]) for line in lines))


_JOB = """
import sys
import ray
from tests.support.image_folder import Folder, Threshold
from olivine.labels.config import LabelConfig
from olivine.core.runtime import Runtime
from olivine.tracking.tracker import NullTracker
from olivine.runners.on_ray.label import label_on_ray

address, root, out, diary, maps = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
labeller = Threshold(diary=diary, maps=maps, seconds=0.25)
runtime = Runtime(
    data_root=root, out=out, label_batch_size=4, num_label_actors=2, min_label_actors=2
)
label_on_ray(LabelConfig(dataset=Folder(), labeller=labeller), runtime, NullTracker())
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_killed_actors_and_a_killed_driver_lose_nothing(tmp_path: Path, local_ray: str) -> None:
    root, out, diary = tmp_path / "data", tmp_path / "out", tmp_path / "diary"
    write_images(root, 600)
    maps = out / "labels" / f"{FINGERPRINT}-0ddba11"
    arguments = [local_ray, root, out, diary, maps]
    command = [sys.executable, "-c", _JOB, *map(str, arguments)]

    def wait_for(happened: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 90
        while not happened():
            assert driver.poll() is None, "the job ended before it could be disturbed"
            assert time.monotonic() < deadline_s, "the job stands still"
            time.sleep(0.05)

    driver = subprocess.Popen(command)
    try:
        wait_for(lambda: len(pids_in(diary)) == 2 and len(list(maps.rglob("*.png"))) >= 40)
        os.kill(pids_in(diary)[0], signal.SIGKILL)
        wait_for(lambda: len(pids_in(diary)) == 3)
        os.kill(pids_in(diary)[2], signal.SIGKILL)  # the one that took its place
        wait_for(lambda: len(list(maps.rglob("*.png"))) >= 320)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    time.sleep(2.0)  # Ray ends the job's actors
    num_before, num_noted = len(list(maps.rglob("*.png"))), len(diary.read_text().splitlines())

    subprocess.run(command, check=True, timeout=120)

    lines = [line.split() for line in diary.read_text().splitlines()]
    assert 320 <= num_before < 600
    assert {had_map for _, had_map, _ in lines} == {"0"}, "labelled again although it was there"
    assert len(lines) - num_noted == 600 - num_before  # the second start made what was missing
    label(config_of(), runtime_of(root, tmp_path / "alone"), NullTracker())
    pictures = {n: b for n, b in files_below(out / "labels").items() if n.endswith(".png")}
    expected = files_below(tmp_path / "alone" / "labels")
    assert len(pictures) == 600
    assert pictures == {n: b for n, b in expected.items() if n.endswith(".png")}
