"""Weak labels from images: one module per labeller."""
