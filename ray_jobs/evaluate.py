"""An evaluation, after its pretraining, as a Ray job: `python -m ray_jobs.evaluate RECIPE …`."""

import sys

from olivine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
