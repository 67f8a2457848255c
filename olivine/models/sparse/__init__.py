"""Sparse convolution: cells, kernel maps, the engine interface and the layers on it."""
