"""Tables of a sweep, beside the numbers in print."""
