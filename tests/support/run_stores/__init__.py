"""Runs and stores that tests ask about: tiny ones that ran, and large ones that are written."""
