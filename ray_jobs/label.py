"""Weak labels for every image, as a Ray job: `python -m ray_jobs.label RECIPE …`."""

import sys

from olivine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["label", *sys.argv[1:]]))
