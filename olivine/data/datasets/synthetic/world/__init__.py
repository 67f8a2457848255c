"""The world itself: streets, houses, traffic and people, as meshes with materials."""
