"""Questions: one module per sweep."""
