"""Rigid transforms, projection and voxels."""
