"""Commands in an environment that has the installed wheel."""

import subprocess
from pathlib import Path


def run(environment: dict[str, str], folder: Path, *command: str) -> str:
    answer = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout
