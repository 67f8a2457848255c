"""Escapes text for LaTeX, also with the 8-bit fonts of plain pdflatex."""

import re

from olivine.results.words import code_parts

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
    "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$",
    "·": r"$\cdot$", "²": "$^{2}$", "³": "$^{3}$", "°": r"$^{\circ}$",
    **{char: f"$\\{name}$" for char, name in _GREEK.items()},
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.])-(?=\d)")  # a minus, not a hyphen


def escape_latex(text: str) -> str:
    """Return text escaped for LaTeX; `code` becomes typewriter."""
    return "".join(
        rf"\texttt{{{_escape(part)}}}" if is_code else _escape(part)
        for part, is_code in code_parts(text)
    )


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(char) or _letter(char) for char in _NUMBER.sub("−", text))


def _letter(char: str) -> str:
    """Return a letter that the font has, or its number: pdflatex would stop at the letter."""
    return char if char.isascii() or "À" <= char <= "ÿ" else f"[U+{ord(char):04X}]"
