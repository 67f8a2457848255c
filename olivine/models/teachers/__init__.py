"""Frozen image networks: one module per architecture."""
