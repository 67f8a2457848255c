"""A sweep as a Ray job: `python -m ray_jobs.sweep NAME …`."""

import sys

from olivine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
