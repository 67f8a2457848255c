"""Random changes of a sample: one module per kind."""
