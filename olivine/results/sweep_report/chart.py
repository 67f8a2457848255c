"""The common base of the charts of a sweep's report.

Plotly draws them inside the page. All colours except those of methods are the page's:
`templates/charts.js` sets them, also when the reader changes to the dark theme.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

NUM_DESCRIBED = 12  # number of lines or settings in a chart's description
_BUTTONS = ("toImage", "zoom2d", "pan2d", "resetScale2d")  # none of them needs the network


@dataclass(frozen=True)
class Chart:
    """One chart of a page."""

    name: str  # unique on its page
    figure: go.Figure
    text: str  # description for readers who cannot see it
    min_width_px: int = 0  # on a narrower page the chart is scrolled sideways

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
    """Return the layout that all charts share."""
    return {
        "template": "none",
        "height": height_px,
        "margin": dict(margin_px),
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "showlegend": False,  # the page's own legend is readable on a phone
        "dragmode": False,  # a finger scrolls the page
        "hoverlabel": {"namelength": -1},
    }


def axis(title: str) -> dict[str, Any]:
    """Return an axis with a title, which may have several lines."""
    text = plotly_text(title).replace("\n", "<br>")
    return {"title": {"text": text, "standoff": 8}, "zeroline": False, "ticklabelstandoff": 4}


def plotly_text(text: str) -> str:
    """Return text escaped for plotly, which interprets some HTML and drops the rest."""
    return html.escape(text, quote=False)
