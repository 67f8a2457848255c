"""Experiments as values: recipes, sweeps and their plans, searches, limits and estimates."""
