"""Losses on matched rows: one module per equation."""
