"""What the figures are drawn with: lines with bands, points with error bars, the diagonal, labelled limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval
from gedanken.report.data import Curve, Floats
from gedanken.report.theme import colour

MOST_POINTS = 2_000


def line(made: Any, x: Any, y: Any, role: str, *, name: str = "", hover: str = "", **look: Any) -> None:
    """One line; `look` goes to plotly's `line` (width, dash, shape). Without a name it is not in the legend."""
    made.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name=name,
        showlegend=bool(name),
        line={"color": colour(role), "width": 2} | look,
        **({"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}),
    )


def band(made: Any, curve: Curve, role: str, *, name: str, points: bool = False, rank: int = 1000, **look: Any) -> None:
    """A line with its interval as a band behind it, gaps where something is NaN; `rank` orders the legend."""
    x, mean, low, high = (np.asarray(part, float) for part in (curve.x, curve.mean, curve.low, curve.high))
    for run in _runs(np.isfinite(low) & np.isfinite(high)):
        if len(run) > 1:
            made.add_scatter(
                x=np.concatenate([x[run], x[run][::-1]]),
                y=np.concatenate([high[run], low[run][::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=colour(role, 0.16),
                line={"width": 0},
                showlegend=False,
                hoverinfo="skip",
            )
    made.add_scatter(
        x=x,
        y=mean,
        mode="lines+markers" if points else "lines",
        name=name,
        legendrank=rank,
        line={"color": colour(role), "width": 2} | look,
        marker={"size": 7, "color": colour(role)},
        customdata=np.stack([low, high], axis=-1),
        hovertemplate=f"{name}<br>%{{y:.4g}} [%{{customdata[0]:.4g}}, %{{customdata[1]:.4g}}]<extra></extra>",
    )


def diagonal(made: Any, low: float, high: float) -> None:
    """Where what was stated is what came true."""
    line(made, [low, high], [low, high], "still", width=1, dash="dot")


def limit(made: Any, y: float, role: str, label: str, *, above: bool = True) -> None:
    """A horizontal line across the figure, with its label at the left end."""
    made.add_hline(y=y, line={"color": colour(role), "width": 1, "dash": "dash"})
    made.add_annotation(
        x=0.0,
        xref="paper",
        y=y,
        text=label,
        xanchor="left",
        yanchor="bottom" if above else "top",
        xshift=6,
        yshift=1 if above else -3,
        font={"color": colour(role)},
    )


def mark(made: Any, x: float, role: str, label: str, *, row: int) -> None:
    """A vertical line on a logarithmic axis, its label to the left at the top, `row` lines down."""
    made.add_vline(x=x, line={"color": colour(role), "width": 1, "dash": "dash"})
    # Lines are placed by value on a logarithmic axis, annotations by exponent.
    made.add_annotation(
        x=float(np.log10(x)),
        y=1.0,
        yref="paper",
        text=label,
        xanchor="right",
        yanchor="top",
        xshift=-5,
        yshift=-18 * row,
        font={"color": colour(role)},
    )


def to_curve(x: Any, intervals: Sequence[Mapping[str, Any]]) -> Curve:
    """What `Interval.to_json` gave, one a place, as a curve; NaN where something is missing."""
    columns = [
        np.asarray([np.nan if interval[name] is None else interval[name] for interval in intervals], float)
        for name in ("mean", "low", "high")
    ]
    return Curve(np.asarray(x, float), *columns)


def error_bars(curve: Curve, role: str) -> dict[str, Any]:
    """The interval of each point; nothing where there is none."""
    return {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(curve.high - curve.mean),
        "arrayminus": np.nan_to_num(curve.mean - curve.low),
        "color": colour(role),
        "thickness": 1.5,
        "width": 4,
    }


def error_bar(interval: Interval, role: str) -> dict[str, Any] | None:
    """The same of a single point."""
    if interval.mean is None or interval.low is None or interval.high is None:
        return None
    ends = [np.asarray([value], float) for value in (interval.mean, interval.low, interval.high)]
    return error_bars(Curve(np.zeros(1), *ends), role)


def up_to(curve: Curve, end: float) -> Curve:
    """A curve whose x ascends, up to its first place beyond `end`: the rest must not stretch the other axis."""
    kept = int(np.searchsorted(curve.x, end, side="right")) + 1
    return Curve(*(np.asarray(part, float)[:kept] for part in (curve.x, curve.mean, curve.low, curve.high)))


def running_mean(values: Floats, window: int) -> Floats:
    """The mean of the last `window` values at each place, of fewer at the start."""
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    first = np.maximum(ends - window, 0)
    mean: Floats = (sums[ends] - sums[first]) / (ends - first)
    return mean


def thin(length: int) -> NDArray[np.int64]:
    """Evenly spread positions, first and last included, at most `MOST_POINTS`."""
    if length <= MOST_POINTS:
        return np.arange(length, dtype=np.int64)
    return np.unique(np.linspace(0, length - 1, MOST_POINTS).round().astype(np.int64))


def _runs(known: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The stretches of consecutive positions where `known` holds."""
    places = np.flatnonzero(known)
    return [run for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]
