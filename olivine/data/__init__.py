"""Frames, samples and batches: from files on disk to what networks take."""
