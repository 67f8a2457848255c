"""Runners of the stages: in this process, or on Ray."""
