"""Sparse convolution: cells, kernel maps, the engines' interface and the layers on it."""
