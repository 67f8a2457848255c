"""An evaluation, after the pretraining it needs, as a Ray job."""

import sys

from olivine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
