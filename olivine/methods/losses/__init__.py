"""Losses of matched rows: one module per equation."""
