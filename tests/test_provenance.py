import json
import os
import socket

from olivine.provenance import provenance


def test_a_checkout_names_its_commit_and_every_run_its_packages():
    tags = provenance()
    assert len(tags.get("git.commit", "0" * 40)) == 40
    assert tags.get("git.dirty", "false") in {"true", "false"}
    assert tags["version.torch"].startswith("2.")
    assert tags["hardware.cpus"] == str(os.cpu_count())


def test_nobody_is_named():
    assert socket.gethostname() not in json.dumps(provenance())
