"""A table as LaTeX, ruled by booktabs, to be taken in by \\input."""

import re
from collections.abc import Iterator, Sequence

from olivine.results.tables.markdown_format import PRINT_NOTE
from olivine.results.tables.text import Grid, Layout, Text

PACKAGES = ("booktabs", "graphicx")

# Scaled down where it is wider than the text, left alone where it is not.
_FIT = r"""\providecommand{\olivinefit}[1]{%
  \sbox0{#1}%
  \ifdim\wd0>\linewidth \resizebox{\linewidth}{!}{\usebox0}\else \usebox0\fi}"""
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta",
    "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta",
}  # fmt: skip
_SPECIAL = {
    # As formulas, since the old 8-bit typewriter fonts lack them.
    "\\": r"$\backslash$", "{": r"$\{$", "}": r"$\}$", "|": "$|$", "<": "$<$", ">": "$>$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{char: f"\\{char}" for char in "&%$#_"},
    "±": r"$\pm$", "≈": r"$\approx$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$",
    "*": "$^{*}$", '"': "''",
    "−": "$-$", "–": "--", "—": "---", "…": r"\dots{}", "’": "'", "“": "``", "”": "''",
    "·": r"$\cdot$", "²": "$^{2}$", "³": "$^{3}$", "°": r"$^{\circ}$",
    **{char: f"$\\{name}$" for char, name in _GREEK.items()},
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.])-(?=\d)")  # a minus, not a hyphen


def latex(layout: Layout) -> str:
    """Return a float with the grids, their remarks, and sources as comments."""
    return "\n".join(_lines(layout)) + "\n"


def escaped(text: str) -> str:
    """Return text as LaTeX that prints it with an 8-bit font; `code` becomes typewriter."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone one: no code
        parts = ["`".join(parts)]
    return "".join(
        rf"\texttt{{{_escape(part)}}}" if place % 2 else _escape(part)
        for place, part in enumerate(parts)
    )


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(char) or _letter(char) for char in _NUMBER.sub("−", text))


def _letter(char: str) -> str:
    """Return a letter that the font has, or its number: pdflatex would stop at the letter."""
    return char if char.isascii() or "À" <= char <= "ÿ" else f"[U+{ord(char):04X}]"


def _lines(layout: Layout) -> Iterator[str]:
    yield f"% {layout.title}"
    yield f"% needs \\usepackage{{{','.join(PACKAGES)}}}"
    yield _FIT
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{escaped(_sentence(layout.title))} {escaped(' '.join(layout.remarks))}}}"
    yield r"\par\smallskip"
    yield from _grid(layout.scores)
    if layout.differences is not None:
        yield r"\par\medskip"
        yield from _grid(layout.differences)
        yield from _small(layout.difference_remarks)
    yield r"\end{table}"
    for heading, items in ((PRINT_NOTE, layout.sources), ("Missing:", layout.missing)):
        if items:
            yield f"% {heading}"
            yield from (f"% - {' '.join(item.split())}" for item in items)


def _grid(grid: Grid) -> Iterator[str]:
    sides = "".join("l" if grid.is_text(place) else "r" for place in range(len(grid.header)))
    yield rf"\olivinefit{{\begin{{tabular}}{{{sides}}}"
    yield r"\toprule"
    yield _line([escaped(text) for text in grid.header])
    yield r"\midrule"
    yield from (_line([_emphasised(text) for text in line]) for line in grid.lines)
    yield r"\bottomrule"
    yield r"\end{tabular}}"


def _line(cells: Sequence[str]) -> str:
    first, *others = cells
    # A line that begins with "[" would be read as the space after the line before.
    return " & ".join([f"{{{first}}}" if first.startswith("[") else first, *others]) + r" \\"


def _emphasised(text: Text) -> str:
    if text.is_best:
        return rf"\textbf{{{escaped(text.text)}}}"
    if text.is_second:
        return rf"\underline{{{escaped(text.text)}}}"
    return rf"\emph{{{escaped(text.text)}}}" if text.is_missing else escaped(text.text)


def _small(sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield rf"\par\smallskip{{\footnotesize\raggedright {escaped(' '.join(sentences))}\par}}"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
