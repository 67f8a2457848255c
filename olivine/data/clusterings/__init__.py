"""Ways to group the points of scans into objects: one module per kind."""
