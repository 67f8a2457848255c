"""Writes a recorded world as files in the format of nuScenes."""
