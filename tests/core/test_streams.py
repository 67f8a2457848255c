"""A pipe that nobody reads any more ends no work."""

import os
import subprocess
import sys

from olivine.core.streams import SteadyStream
from tests.support import ROOT


def test_what_is_written_is_what_arrives(tmp_path):
    path = tmp_path / "out"
    with path.open("w") as file:
        stream = SteadyStream(file)
        assert stream.write("one\n") == 4
        stream.flush()
        assert not stream.isatty()
        assert stream.encoding == file.encoding
    assert path.read_text() == "one\n"


def test_after_the_reader_is_gone_writing_goes_on_into_nothing():
    reading, writing = os.pipe()
    stream = SteadyStream(os.fdopen(writing, "w"))
    os.close(reading)
    for _ in range(3):
        assert stream.write("line\n") == 5
        stream.flush()


def test_a_command_ends_well_when_its_reader_takes_one_line():
    code = "import sys; from olivine.cli.main import main; sys.exit(main(['show', 'demo']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("# fingerprint")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
