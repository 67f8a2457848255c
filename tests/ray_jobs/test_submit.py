"""The five jobs through `ray job submit`, on a real head of this machine that asks for a token."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support import ROOT
from tests.support.plugins import write_loss

START_S, JOB_S = 60, 150
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# The demo, smaller still: one epoch, one worker, a network of two levels.
SMALL = {
    "num_epochs": 1,
    "batch_frames": 2,
    "pretrained.num_epochs": 1,
    "pretrained.batch_frames": 2,
    "pretrained.contrast_frames": 2,
    "pretrained.num_channels": 8,
    "pretrained.backbone.stem_channels": 8,
    "pretrained.backbone.planes": "[8, 8]",
    "pretrained.backbone.blocks": "[1, 1]",
    "pretrained.augmentations.crop_images.rows_px": 56,
    "pretrained.augmentations.crop_images.columns_px": 104,
    "pretrained.augmentations.crop_images.min_pairs": 1,
    "pretrained.augmentations.drop_cuboid.min_pairs": 1,
    "runtime.num_workers": 1,
    "runtime.device": "cpu",
    "runtime.max_failures": 0,
}


@dataclass(frozen=True)
class Head:
    """A running head: where its dashboard answers, and the environment that may ask it."""

    address: str
    environment: dict[str, str]

    def submit(self, job: str, *arguments: str, folder: Path = ROOT) -> tuple[bool, str]:
        """Run `python -m ray_jobs.JOB` as a job; return whether it SUCCEEDED, and its logs.

        `folder` is the working folder, which travels with the job.
        """
        command = [ray_program(), "job", "submit", "--address", self.address]
        command += [
            "--working-dir",
            str(folder),
            "--",
            "python",
            "-m",
            f"ray_jobs.{job}",
            *arguments,
        ]
        answer = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=JOB_S,
        )
        logs = answer.stdout + answer.stderr
        assert ("succeeded" in logs) == (answer.returncode == 0), logs
        return answer.returncode == 0, logs

    def ask(self, path: str, token: str | None) -> int:
        """Return the HTTP status of a GET."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code


def ray_program() -> str:
    return str(Path(sys.executable).parent / "ray")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """Start a head as a process group of its own and end just that group."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets allow 107 characters
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",  # the jobs' code is what was submitted, or what is installed
    }
    dashboard, *others = free_ports(4)
    named = ("--port", "--ray-client-server-port", "--dashboard-agent-listen-port")
    command = [ray_program(), "start", "--head", "--block", "--num-cpus=2", "--num-gpus=0"]
    command += [f"{name}={port}" for name, port in zip(named, others, strict=True)]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--temp-dir={folder}/r", "--object-store-memory=200000000"]
    command += ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    started = Head(f"http://127.0.0.1:{dashboard}", environment)
    try:
        wait_for(started, token.read_text(), process, folder / "head.log")
        yield started
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(head: Head, token: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            if head.ask("/api/jobs/", token) == 200:
                return
        time.sleep(0.5)
    pytest.fail(f"no jobs API within {START_S} s: {log.read_text()}")


@pytest.fixture(scope="module")
def place(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return where the jobs read and write."""
    out = tmp_path_factory.mktemp("jobs")
    return {
        "runtime.data_root": str(tiny_world),
        "runtime.out": str(out),
        "runtime.cache_dir": str(out / "cache"),
    }


def settings(*groups: dict[str, str] | dict[str, object]) -> list[str]:
    return [f"--set={name}={value}" for group in groups for name, value in group.items()]


def test_the_jobs_api_answers_only_who_has_the_token(head: Head) -> None:
    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o077 == 0
    for path in ("/api/jobs/", "/api/version"):
        assert head.ask(path, None) == 401
        assert head.ask(path, "0" * 64) in {401, 403}
        assert head.ask(path, token.read_text()) == 200


@pytest.mark.nightly
def test_the_five_jobs_one_after_the_other(head: Head, place: dict[str, str]) -> None:
    out, changes = Path(place["runtime.out"]), settings(SMALL, place)
    jobs = (
        ("label", "demo"),
        ("pretrain", "demo"),
        ("evaluate", "demo"),
        ("sweep", "components", "--recipe=demo", "--rows=random;OLIVINE", "--seeds=0"),
        ("table", "components"),
    )
    logs = {}
    for job, *arguments in jobs:
        given = settings(place) if job == "table" else changes  # it is about no experiment
        succeeded, logs[job] = head.submit(job, *arguments, *given)
        assert succeeded, logs[job]
        assert "Next: " in logs[job], f"{job} does not name the next command"

    assert list(out.glob("labels/**/*.png"))
    assert list(out.glob("pretrained/*/backbone.pt"))
    assert "miou" in logs["evaluate"]
    table = (out / "ablation.csv").read_text().splitlines()
    assert table[0].startswith("method,metric,mean,std,n,")
    assert {line.split(",")[0] for line in table[1:]} == {"random", "OLIVINE"}
    assert (out / "ablation.md").read_text().strip() in logs["table"]

    tracker = MlflowTracker(f"sqlite:///{out}/mlflow.db")
    runs = {s: tracker.records(s) for s in ("label", "pretrain", "evaluate", "trial", "sweep")}
    assert {run.status for records in runs.values() for run in records} == {"FINISHED"}
    # The row "OLIVINE" is the recipe: the sweep takes over its pretraining and its evaluation.
    num_runs = {stage: len(records) for stage, records in runs.items()}
    assert num_runs == {"label": 1, "pretrain": 2, "evaluate": 2, "trial": 2, "sweep": 1}


def test_ones_own_files_travel_with_the_job(
    head: Head, place: dict[str, str], tmp_path: Path
) -> None:
    """The job runs on a copy of the folder, and its workers get what it loaded from there."""
    mine = write_loss(tmp_path / "mine").parent
    (mine / "my_recipe.py").write_text(
        "from my_loss import MyLoss\n"
        "from olivine.experiments.recipes import demo_ppkt\n\n\n"
        "def mine():\n"
        "    return demo_ppkt().override({'pretrained.method.terms.pixel.loss': MyLoss()})\n"
    )
    out = tmp_path / "out"
    changes = settings(SMALL, {**place, "runtime.out": str(out)})
    changes.append("--set=runtime.allow=fewer_pairs")
    succeeded, logs = head.submit("pretrain", "./my_recipe.py:mine", *changes, folder=mine)
    assert succeeded, logs
    (run,) = MlflowTracker(f"sqlite:///{out}/mlflow.db").records("pretrain")
    kind = run.settings["pretrained.method.terms.pixel.loss.kind"]
    assert (run.status, kind.partition("@")[0]) == ("FINISHED", "my_loss.py:MyLoss")
    again = ["demo_ppkt", f"--set=pretrained.method.terms.pixel.loss.kind={kind}", *changes]
    succeeded, logs = head.submit("pretrain", *again)  # from another folder, by what is written
    assert succeeded, logs
    assert "Reused the pretraining of 20" in logs


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pretrain", "demo", "--set=pretrained.num_epoch=1"], "Did you mean 'num_epochs'?"),
        (["label", "demo", "--set=runtime.data_root=/nowhere"], "No data set at /nowhere"),
    ],
    ids=["a misspelt setting", "no data"],
)
def test_a_users_mistake_fails_the_job_with_one_sentence(
    arguments: list[str], sentence: str, head: Head, tmp_path: Path
) -> None:
    succeeded, logs = head.submit(*arguments, f"--set=runtime.out={tmp_path}")
    assert not succeeded
    assert sentence in logs
    assert "Traceback" not in logs
