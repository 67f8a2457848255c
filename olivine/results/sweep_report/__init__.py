"""All results of a sweep on one page."""
