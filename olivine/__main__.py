"""`python -m olivine` is the command `olivine`."""

from olivine.cli.main import run

if __name__ == "__main__":
    run()
