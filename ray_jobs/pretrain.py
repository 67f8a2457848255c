"""A pretraining as a Ray job: `python -m ray_jobs.pretrain RECIPE …`."""

import sys

from olivine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
