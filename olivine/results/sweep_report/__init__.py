"""All that a sweep found, as one page."""
