"""How far weak labels can be trusted: counts, pictures, one page."""
