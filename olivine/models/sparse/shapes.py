"""Sizes of bounded grids, in plain numbers (x, y, z)."""

Triple = tuple[int, int, int]


def output_shape(shape: Triple, size: Triple, stride: Triple, padding: Triple) -> Triple:
    """Return the cells per axis that a window leaves of a grid of `shape` cells; below 1: none."""
    x, y, z = (
        (cells + 2 * pad - width) // step + 1
        for cells, width, step, pad in zip(shape, size, stride, padding, strict=True)
    )
    return x, y, z
