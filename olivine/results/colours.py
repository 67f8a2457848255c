"""The colours of methods and classes, the same in every figure and on every page.

The colour-blind can distinguish a method's colour from the others, and it is visible on white and
on black paper; `tests/results/test_colours.py` measures both.
"""

import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

# Six of Okabe and Ito's colours ("Color Universal Design", 2008) are visible on white and on black.
# Two more are as far from them as possible under the same conditions.
PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#870fff", "#e1004b",
)  # fmt: skip
BLUE, ORANGE, LIGHT_BLUE = PALETTE[0], PALETTE[1], PALETTE[5]
POOR = "#8d96a0"  # for lines behind the others and the worst trials; visible on white and on black
CORRECT, WRONG, UNLABELLED = "#b8b8b8", "#c8102e", "#eeeeee"  # of points
# Plotly's dashes: lengths of lines and gaps in widths of the line.
DASHES: dict[str, tuple[int, ...]] = {
    "solid": (),
    "dash": (3, 3),
    "dot": (1, 1),
    "dashdot": (3, 1, 1, 1),
    "longdash": (5, 5),
    "longdashdot": (5, 2, 1, 2),
}

Look = tuple[int, int]  # indices of a colour and of a dash
# The library's methods: relatives share a colour.
_METHODS: dict[str, Look] = {
    "PPKT": (0, 0),
    "OLIVINE": (1, 0),
    "OLIVINE v1": (1, 1),
    "OLIVINE next": (1, 2),
    "random": (2, 0),
    "ScaLR": (3, 0),
    "SLidR": (4, 0),
    "ST-SLidR": (4, 1),
    "PointContrast": (5, 0),
    "DepthContrast": (6, 0),
    "Seal": (7, 0),
}

# Surfaces in muted colours, things that move in strong ones.
CLASS_COLOURS = {
    "barrier": "#6b5b95",
    "bicycle": "#ff1493",
    "bus": "#ff8c00",
    "car": "#e6a100",
    "construction_vehicle": "#b8651b",
    "motorcycle": "#d7263d",
    "pedestrian": "#0057e7",
    "traffic_cone": "#17becf",
    "trailer": "#8c4b00",
    "truck": "#ff5e3a",
    "driveable_surface": "#9fc5c1",
    "other_flat": "#7a8b8b",
    "sidewalk": "#b79ac8",
    "terrain": "#b5cf6b",
    "manmade": "#c9b29b",
    "vegetation": "#2e8b57",
    # SemanticKITTI's own
    "other-vehicle": "#b8651b",
    "person": "#0057e7",
    "bicyclist": "#8a2be2",
    "motorcyclist": "#17becf",
    "road": "#9fc5c1",
    "parking": "#8796c4",
    "other-ground": "#7a8b8b",
    "building": "#c9b29b",
    "fence": "#6b5b95",
    "trunk": "#8c4b00",
    "pole": "#4d4d4d",
    "traffic-sign": "#ff5e9a",
}


@dataclass(frozen=True)
class LineStyle:
    """The colour and dash of a method."""

    colour: str
    dash: str  # one of `DASHES`

    def dash_lengths(self, width: int = 1) -> tuple[int, ...]:
        """Return the lengths of dashes and gaps for a line width; empty for a solid line."""
        return tuple(width * length for length in DASHES[self.dash])


def line_styles(rows: Iterable[str]) -> dict[str, LineStyle]:
    """Return the style of each row of a sweep, whatever their order.

    The method is the text before a row's first comma, so "PPKT" and "PPKT, 10 %" have one colour
    and two dashes. The library's methods always have the same style. Another name has a preferred
    colour, and gets the next free one if a method of this sweep has it, or one with another dash if
    none is free.
    """
    rows = tuple(dict.fromkeys(rows))
    variants: dict[str, list[str]] = {}
    for row in sorted(rows):
        variants.setdefault(row.partition(", ")[0], []).append(row)
    methods = _looks(sorted(variants))
    looks = {first: methods[method] for method, (first, *_) in variants.items()}
    taken = set(looks.values())
    for method, (_, *others) in variants.items():
        colour, dash = methods[method]
        for index, row in enumerate(others, 1):
            looks[row] = _free((colour,), dash + index, taken)
            taken.add(looks[row])
    return {row: LineStyle(PALETTE[looks[row][0]], tuple(DASHES)[looks[row][1]]) for row in rows}


def class_colour(name: str, index: int) -> str:
    """Return the colour of a class; a class without its own gets a method's."""
    return CLASS_COLOURS.get(name, PALETTE[index % len(PALETTE)])


def _looks(methods: Iterable[str]) -> dict[str, Look]:
    """Return the style of each method: fixed for the library's, by name for others."""
    looks = {method: _METHODS[method] for method in methods if method in _METHODS}
    taken = set(looks.values())
    for method in methods:
        if method not in looks:
            wanted = zlib.crc32(method.encode())
            colours = [(wanted + step) % len(PALETTE) for step in range(len(PALETTE))]
            used = {colour for colour, _ in taken}
            unused = [colour for colour in colours if colour not in used]
            looks[method] = _free(unused or colours, 0, taken)
            taken.add(looks[method])
    return looks


def _free(colours: Sequence[int], dash: int, taken: Collection[Look]) -> Look:
    """Return the first free style; all colours with one dash come before the next dash."""
    dashes = [(dash + step) % len(DASHES) for step in range(len(DASHES))]
    looks = [(colour, dash) for dash in dashes for colour in colours]
    return next((look for look in looks if look not in taken), looks[0])
