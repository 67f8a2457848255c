"""Frames, samples and batches: from the files of a data set to the tensors of a network."""
