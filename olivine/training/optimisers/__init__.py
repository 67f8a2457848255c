"""How weights are moved: one module per kind."""
