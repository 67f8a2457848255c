"""Choices of pairs: one module per rule."""
