"""What the charts of a sweep's report have in common.

Plotly draws them inside the page. Their colours but for those of methods are the page's:
`templates/charts.js` sets them, and again when the reader turns to dark paper.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

NUM_TOLD = 12  # lines or settings that a chart's description tells of
_BUTTONS = ("toImage", "zoom2d", "pan2d", "resetScale2d")  # none of them needs the network


@dataclass(frozen=True)
class Chart:
    """One chart of a page."""

    name: str  # unique on its page
    figure: go.Figure
    text: str  # what it shows, for those who cannot see it
    min_width_px: int = 0  # where the page is narrower the chart is scrolled sideways

    def html(self) -> Markup:
        """Return the chart as part of a page that has plotly's script."""
        buttons = _BUTTONS if self.figure.layout.xaxis.title.text else _BUTTONS[:1]
        config = {"displaylogo": False, "responsive": True, "modeBarButtons": [list(buttons)]}
        drawn = self.figure.to_html(
            config=config,
            div_id=f"chart-{self.name}",
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            default_height=f"{self.figure.layout.height}px",
        )
        return Markup(drawn)


def base_layout(height_px: int, margin_px: Mapping[str, int]) -> dict[str, Any]:
    """Return what all charts have in common."""
    return {
        "template": "none",
        "height": height_px,
        "margin": dict(margin_px),
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "showlegend": False,  # the page's own is readable on a phone
        "dragmode": False,  # a finger scrolls the page
        "hoverlabel": {"namelength": -1},
    }


def axis(title: str) -> dict[str, Any]:
    """Return an axis with a title, which may have several lines."""
    text = shown(title).replace("\n", "<br>")
    return {"title": {"text": text, "standoff": 8}, "zeroline": False, "ticklabelstandoff": 4}


def shown(text: str) -> str:
    """Return text that plotly shows as it is: of HTML it obeys some and drops the rest."""
    return html.escape(text, quote=False)
