"""Runs the commands of pages word for word, as somebody who reads them would.

    python3 tools/run_pages.py docs/getting_started.md README.md

runs every ```bash block, in order, from the top of the checkout. Only paths are replaced, those of
data and settings that a reader has and a test machine has not; `tests/support/stand_ins.py` makes
what stands in for them, once a command reads it: by then the page has installed what that needs. A
command that several pages show runs once. Needs Python alone, because the first command of a page
is the one that installs the project.
"""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAND_INS = "build/pages"
READ = {  # of these `tests/support/stand_ins.py` makes what stands in
    "/data/nuscenes": f"{STAND_INS}/nuscenes",
    "/data/moco_v2": f"{STAND_INS}/moco_v2",
    "--config nuscenes.yaml": f"--config {STAND_INS}/small.yaml",
}
WRITTEN = {
    "> nuscenes.yaml": f"> {STAND_INS}/nuscenes.yaml",
    "mine.yaml": f"{STAND_INS}/mine.yaml",
}
MAKE_STAND_INS = f".venv/bin/python -m tests.support.stand_ins {STAND_INS}"
LEFT_OUT = {"olivine weights fetch": "it downloads gigabytes"}
SERVERS = {"mlflow server": "http://127.0.0.1:5000"}  # a program that ends when it is stopped
PATIENCE_S = 120
FENCE = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a page's bash blocks; one over several lines is one."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip():
                yield line.strip()


def replaced(command: str) -> str:
    """Return a command on the stand-ins' paths."""
    for shown, there in {**READ, **WRITTEN}.items():
        command = command.replace(shown, there)
    return command


def run(command: str) -> None:
    """Run a command; end with its status if it fails."""
    sys.stdout.write(f"\n$ {command}\n")
    sys.stdout.flush()
    began = time.monotonic()
    status = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=ROOT, check=False)
    if status.returncode:
        raise SystemExit(f"exit status {status.returncode}: {command}")
    sys.stdout.write(f"({time.monotonic() - began:.0f} s)\n")


def serve(command: str, address: str) -> None:
    """Start a server, ask for its page and stop it."""
    sys.stdout.write(f"\n$ {command}\n")
    server = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=ROOT)
    try:
        last = time.monotonic() + PATIENCE_S
        while not _answers(address):
            if server.poll() is not None or time.monotonic() > last:
                raise SystemExit(f"{address} does not answer: {command}")
            time.sleep(1)
        sys.stdout.write(f"({address} answers; stopped)\n")
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run_pages(pages: list[str]) -> None:
    """Run the commands of pages, each command once."""
    done: set[str] = set()
    (ROOT / STAND_INS).mkdir(parents=True, exist_ok=True)
    for page in pages:
        sys.stdout.write(f"\n-- {page}\n")
        for shown in commands((ROOT / page).read_text()):
            command = re.sub(r"\s+#.*", "", shown)
            if command in done:
                continue
            done.add(command)
            reason = next((why for name, why in LEFT_OUT.items() if name in command), "")
            address = next((url for name, url in SERVERS.items() if name in command), "")
            if reason:
                sys.stdout.write(f"\n# left out, because {reason}: {command}\n")
            elif address:
                serve(command, address)
            else:
                if any(path in command for path in READ) and MAKE_STAND_INS not in done:
                    done.add(MAKE_STAND_INS)
                    run(MAKE_STAND_INS)
                run(replaced(command))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("Name the pages: python3 tools/run_pages.py README.md")
    run_pages(sys.argv[1:])
