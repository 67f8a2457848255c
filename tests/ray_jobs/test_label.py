import signal
import subprocess
import sys
import time
from pathlib import Path

import image_folder
import pytest
from image_folder import Folder, Threshold, content, files_below, write_images

from olivine.config import LabelConfig, Runtime
from olivine.errors import UserError
from olivine.label import label
from olivine.tracking import NullTracker
from olivine.worker import LocalWorker
from ray_jobs.label import ImageSource, label_on_ray

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

    alone = label(
        config, runtime_of(root, tmp_path / "alone"), LocalWorker(), NullTracker(), lambda *_: None
    )
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
    folder = out / "labels" / "f01de4-0ddba11"
    folder.mkdir(parents=True)
    (folder / "samples").write_text("a file where a folder is needed")

    with pytest.raises(UserError, match=r"Cannot write .*image-000\.png"):
        label_on_ray(config_of(), runtime_of(root, out), NullTracker())


def test_every_chunk_of_images_is_one_read_task(tmp_path: Path) -> None:
    names = write_images(tmp_path, 10)
    source = ImageSource(image_folder.FolderFrames(tmp_path), names, chunk_size=4, batch_size=2)

    tasks = source.get_read_tasks(parallelism=1)

    assert [task.metadata.num_rows for task in tasks] == [4, 4, 2]
    rows = [row for task in tasks for table in task() for row in table.to_pylist()]
    assert [row["image_name"] for row in rows] == names


_KILLED = """
import sys
import ray
from image_folder import Folder, Threshold
from olivine.config import LabelConfig, Runtime
from olivine.tracking import NullTracker
from ray_jobs.label import label_on_ray

address, root, out, log = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
labeller = Threshold(log=log, seconds=0.3)
runtime = Runtime(data_root=root, out=out, label_batch_size=2)
label_on_ray(LabelConfig(dataset=Folder(), labeller=labeller), runtime, NullTracker())
"""


@pytest.mark.slow
def test_a_killed_job_goes_on_where_it_stopped(tmp_path: Path, local_ray: str) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    names = write_images(root, 40)
    maps = out / "labels" / "f01de4-0ddba11"
    driver = subprocess.Popen(
        [sys.executable, "-c", _KILLED, local_ray, str(root), str(out), str(tmp_path / "first")],
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(maps.rglob("*.png"))) < 8 and time.monotonic() < deadline:
            assert driver.poll() is None, "the job ended before it could be killed"
            time.sleep(0.05)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    time.sleep(2.0)  # Ray ends the job's actors
    frames = image_folder.FolderFrames(root)
    finished = [name for name in names if (maps / name).with_suffix(".png").exists()]

    config = config_of(log=str(tmp_path / "second"))
    result = label_on_ray(config, runtime_of(root, out), NullTracker())

    assert 8 <= len(finished) < 40
    assert (result.num_done_before, result.num_labelled) == (len(finished), 40 - len(finished))
    computed = set((tmp_path / "second").read_text().split())
    assert not computed & {content(frames.read_image(name)) for name in finished}
    alone = runtime_of(root, tmp_path / "alone")
    label(config_of(), alone, LocalWorker(), NullTracker())
    pictures = {n: b for n, b in files_below(out / "labels").items() if n.endswith(".png")}
    expected = files_below(tmp_path / "alone" / "labels")
    assert pictures == {n: b for n, b in expected.items() if n.endswith(".png")}
