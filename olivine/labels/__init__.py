"""Weak labels: labellers, the store of their maps, the job that makes them, and their quality."""
