"""The table of a sweep as a Ray job: on the cluster's head, beside the run store."""

import sys

from olivine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["table", *sys.argv[1:]]))
