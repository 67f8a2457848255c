"""Tools for developers of the project; none is needed to use it."""
