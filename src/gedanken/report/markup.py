"""Small pieces of HTML. Everything that comes from a run goes through `text`, so nothing in it can become markup."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gedanken.evidence.interval import Interval
from gedanken.report.data import NotMeasured
from gedanken.report.theme import PALETTE


def text(value: object) -> str:
    """Any value as it should be read, escaped."""
    return html.escape(number(value))


def number(value: object) -> str:
    """A value as plain text: thousands apart, floats to four digits, `None` and NaN as `not measured`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 and math.isfinite(value) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(number(inner) for inner in value) or "none"
    return str(value)


def amounts(spent: Mapping[str, int]) -> str:
    """`1,200 steps, 3 experiments`, escaped."""
    return text(", ".join(f"{number(amount)} {name}" for name, amount in spent.items()) or "nothing")


def duration(seconds: float) -> str:
    """`48 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def missing(part: NotMeasured | str) -> str:
    """The words for what is not there, and why."""
    why = part if isinstance(part, str) else part.why
    return f'<p class="missing"><strong>not measured</strong>: {html.escape(why)}</p>'


def interval_ends(interval: Interval) -> str:
    """`[3050, 3360]`, or why there is no interval; escaped."""
    if interval.low is None or interval.high is None:
        return f"no interval: {html.escape(interval.reason)}"
    shown = str(interval)
    return html.escape(shown[shown.index("[") : shown.index("]") + 1])


def interval_mean(interval: Interval) -> str:
    """The mean with as many digits as the interval bears."""
    return "not measured" if interval.mean is None else html.escape(str(interval).split(" ")[0].rstrip(","))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Sequence[int] = ()) -> str:
    """A table; columns in `numeric` are set flush right."""
    classes = ['class="n"' if i in numeric else "" for i in range(len(columns))]
    head = "".join(f"<th {look}>{text(name)}</th>" for name, look in zip(columns, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {look}>{text(cell)}</td>" for cell, look in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs(rows: Mapping[str, object]) -> str:
    """A two-column table of names and values."""
    body = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows.items())
    return f'<div class="scroll"><table class="pairs"><tbody>{body}</tbody></table></div>'


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """A nested mapping with dotted names: {"budget": {"steps": 5}} -> {"budget.steps": 5}."""
    found: dict[str, object] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


@dataclass
class Canvas:
    """Collects the figures of a page while its HTML is written, and numbers what needs an id."""

    figures: list[dict[str, Any]] = field(default_factory=list)

    def figure(self, made: Any, *, label: str, caption: str = "", legend: bool = True) -> str:
        """HTML of one figure: legend above, caption below.

        Args:
            made: the plotly figure.
            label: what it shows, for readers who do not see it.
            caption: HTML, how to read it.
            legend: whether to draw its legend (not where several small figures share one).
        """
        drawn = json.loads(made.to_json())
        drawn["layout"]["showlegend"] = False
        height = drawn["layout"]["height"]
        name = f"figure-{len(self.figures)}"
        self.figures.append({"id": name, "data": drawn["data"], "layout": drawn["layout"]})
        keys = legend_of(made) if legend else ""
        below = f"<figcaption>{caption}</figcaption>" if caption else ""
        plot = f'<div class="plot" id="{name}" role="img" aria-label="{html.escape(label)}" style="height:{height}px">'
        return f"<figure>{keys}{plot}</div>{below}</figure>"

    def script(self) -> str:
        """The figures as JSON that may stand inside a script element."""
        return script_json(self.figures)


def script_json(value: object) -> str:
    """JSON in which no `</script>` or comment can end or hide the element around it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def legend_of(made: Any) -> str:
    """The legend of a figure as HTML, whose colours follow the page's theme."""
    roles = {light: role for role, (light, _) in PALETTE.items()}
    keys = []
    for trace in sorted(made.data, key=lambda trace: trace.legendrank or 1000):
        if trace.showlegend is False or not trace.name:
            continue
        lines, points = "lines" in (trace.mode or ""), "markers" in (trace.mode or "")
        given = trace.line.color if lines else trace.marker.color
        role = roles.get(_solid(given), "text")
        shape = "line" if lines else "point"
        dash = f" {trace.line.dash}" if lines and trace.line.dash not in (None, "solid") else ""
        mark = f" {trace.marker.symbol}" if points and trace.marker.symbol else ""
        keys.append(f'<span><i class="{shape}{dash}{mark}" style="color:var(--{role})"></i>{trace.name}</span>')
    return f'<div class="legend">{"".join(keys)}</div>' if keys else ""


def _solid(given: str | None) -> str:
    """`rgba(0,114,178,0.4)` -> `#0072b2`; a hex colour stays."""
    if not given or not given.startswith("rgba("):
        return given or ""
    red, green, blue = (int(part) for part in given[5:].split(",")[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
