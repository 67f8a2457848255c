"""Computations that a GPU must make as the CPU does, with made data and bounds on their errors."""
