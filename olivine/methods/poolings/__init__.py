"""Averages of matched rows: one module per rule."""
