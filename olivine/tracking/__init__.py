"""The store of runs: what a stage tells it, and how that gets there."""
