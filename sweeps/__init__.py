"""Sweeps: one module per question."""
