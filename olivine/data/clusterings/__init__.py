"""Ways to group the points of scans into things: one module per kind."""
