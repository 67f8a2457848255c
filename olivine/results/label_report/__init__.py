"""The quality of weak labels: counts, pictures and one page."""
