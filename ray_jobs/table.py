"""The table of a sweep as a Ray job: on the cluster's head, beside the run store."""

import sys

if __name__ == "__main__":
    from olivine.cli import main

    sys.exit(main(["table", *sys.argv[1:]]))
