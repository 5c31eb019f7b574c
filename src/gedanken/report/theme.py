"""One look for every figure and page: few colours, each with one meaning, told apart by any eye, on light and dark.

Hues are those of Okabe & Ito (2008). Figures are drawn in the light colours; the page swaps every colour of this
palette for its dark partner where the reader prefers dark, so a figure needs no second version.
"""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go

PALETTE: Final[dict[str, tuple[str, str]]] = {
    # role: (on light, on dark)
    "real": ("#1d2733", "#e9edf2"),
    "model": ("#0072b2", "#56b4e9"),
    "check": ("#00856a", "#2ec4a0"),
    "reference": ("#c65102", "#f0a04b"),
    "still": ("#7d8794", "#97a1ae"),
    "text": ("#3b4552", "#c3cad3"),
    "axis": ("#b4bcc6", "#4a5462"),
    "grid": ("#e8ebef", "#262d37"),
}
FONT: Final = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


def colour(role: str, opacity: float | None = None) -> str:
    """The light colour of a role, as `#rrggbb`, or as `rgba(...)` with an opacity."""
    value = PALETTE[role][0]
    return value if opacity is None else f"{_triple(value)}{opacity})"


def swaps() -> dict[str, str]:
    """Every colour a figure may hold -> its partner on dark; `rgba(r,g,b,` stands for any opacity."""
    plain = dict(PALETTE.values())
    return plain | {_triple(light): _triple(dark) for light, dark in PALETTE.values()}


def css_variables(dark: bool) -> str:
    """The palette as CSS custom properties: `--real: #1d2733; ...`."""
    return " ".join(f"--{role}: {pair[int(dark)]};" for role, pair in PALETTE.items())


def _triple(value: str) -> str:
    red, green, blue = (int(value[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},"


def _axis() -> dict[str, Any]:
    return {
        "showline": True,
        "linecolor": colour("axis"),
        "linewidth": 1,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": colour("axis"),
        "gridcolor": colour("grid"),
        "gridwidth": 1,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
        "tickfont": {"size": 12},
    }


TEMPLATE: Final = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": colour("text")},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": [colour(role) for role in ("real", "model", "check", "reference", "still")],
        "margin": {"l": 60, "r": 18, "t": 14, "b": 48},
        "height": 340,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "xaxis": _axis(),
        "yaxis": _axis(),
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom", "font": {"size": 12}},
        "annotationdefaults": {"font": {"size": 12}, "showarrow": False},
    }
)


def figure(*, x: str, y: str, height: int = 340) -> Any:
    """An empty figure in this look, with its axis titles (units included)."""
    made = go.Figure()
    made.update_layout(template=TEMPLATE, height=height, xaxis_title_text=x, yaxis_title_text=y)
    return made
