"""Loaders of published image models, and what their packages need to run here."""
