"""Data sets: one module per format."""
