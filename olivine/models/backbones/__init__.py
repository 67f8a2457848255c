"""3D networks: one module per architecture."""
