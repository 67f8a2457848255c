"""Optimisers with their learning-rate schedules: one module per kind."""
