"""The store of runs: the records of a stage, and how they reach the store."""
