"""The figures of a report, one function each. Colours have one meaning throughout: see `theme.PALETTE`.

A figure whose data were not measured is `None`; the page then says why.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gedanken.evidence.interval import Interval
from gedanken.report.data import Curve, Learning, LedgerView, NotMeasured, Reference, Trajectories
from gedanken.report.drawing import (
    band,
    diagonal,
    error_bar,
    error_bars,
    limit,
    line,
    mark,
    running_mean,
    thin,
    to_curve,
    up_to,
)
from gedanken.report.theme import colour, figure

MOST_PANELS = 8
_PATHS = 12


def learning_curve(
    learning: Learning, *, real_return: Interval, reference: Reference | NotMeasured, paid_steps: int | None
) -> Any:
    """Return of every real episode against paid steps, with what the model predicted and what the check found."""
    made = figure(x="Paid steps", y="Return of an episode", height=400)
    steps, returns = np.asarray(learning.steps, float), np.asarray(learning.returns, float)
    end = float(paid_steps if paid_steps is not None else (steps[-1] if len(steps) else 0.0))
    if not isinstance(reference, NotMeasured) and reference.curve is not None:
        name = f"{html.escape(reference.method)}, no model"
        band(made, up_to(reference.curve, end), "reference", name=name, rank=2000, dash="dash")
    kept = thin(len(steps))
    made.add_scatter(
        x=steps[kept],
        y=returns[kept],
        mode="markers",
        name="a real episode",
        marker={"size": 6, "color": colour("real", 0.28), "line": {"width": 0}},
        hovertemplate="%{x:,} steps<br>return %{y:.4g}<extra></extra>",
    )
    window = min(10, len(returns) // 4)
    if window > 1:
        hover = f"%{{x:,}} steps<br>mean of {window}: %{{y:.4g}}"
        average = running_mean(returns, window)[kept]
        line(made, steps[kept], average, "real", name=f"mean of the last {window}", hover=hover)
    if isinstance(learning.predicted, Curve):
        band(made, learning.predicted, "model", name="predicted by the model", points=True)
    if isinstance(learning.checked, Curve):
        band(made, learning.checked, "check", name="checked in the world", points=True)
    if real_return.mean is not None:
        made.add_scatter(
            x=[end],
            y=[real_return.mean],
            error_y=error_bar(real_return, "check"),
            mode="markers",
            name=f"final agent, checked in {real_return.count} episodes",
            marker={"size": 11, "symbol": "diamond", "color": colour("check")},
            hovertemplate=f"final agent: {real_return}<extra></extra>",
        )
    if learning.goal is not None:
        limit(made, learning.goal, "still", f"goal {learning.goal:,.4g}")
    made.update_xaxes(range=[0, end * 1.04 or 1], tickformat=",")
    made.update_yaxes(tickformat=",")
    return made


def trajectory_panels(trajectories: Trajectories) -> list[tuple[str, Any]]:
    """One small figure a dimension (at most `MOST_PANELS`, those that move): the real path over the imagined ones."""
    real, imagined = np.asarray(trajectories.real, float), np.asarray(trajectories.imagined, float)
    moving = [d for d in range(real.shape[1]) if np.ptp(real[:, d]) > 0][:MOST_PANELS]
    unit = trajectories.step_seconds
    time = np.arange(len(real)) * (unit or 1.0)
    count = len(imagined)
    name = "imagined" if count == 1 else f"imagined: median, and 5 to 95 % of {count} rollouts"
    panels = []
    for d in moving:
        made = figure(x="Time (s)" if unit else "Step", y="", height=210)
        paths = imagined[:, :, d]
        alive = np.isfinite(paths).any(0)
        low, middle, high = (np.full(len(time), np.nan) for _ in range(3))
        low[alive], middle[alive], high[alive] = np.nanquantile(paths[:, alive], [0.05, 0.5, 0.95], axis=0)
        for path in paths[:_PATHS] if count > 1 else ():
            line(made, time, path, "model", width=1, color=colour("model", 0.22))
        band(made, Curve(time, middle, low, high), "model", name=name)
        line(made, time, real[:, d], "real", name="real", hover="real %{y:.4g}")
        made.update_layout(margin={"l": 44, "r": 12, "t": 8, "b": 42})
        panels.append((str(trajectories.names[d]), made))
    return panels


def horizon_error(fidelity: Mapping[str, Any]) -> Any:
    """Error against steps ahead, model and persistence, with bands; marks the safe and the break-even horizon."""
    horizons = [int(horizon) for horizon in fidelity["horizons"]]
    still, model = to_curve(horizons, fidelity["persistence"]), to_curve(horizons, fidelity["model"])
    tolerance = float(fidelity["tolerance"])
    made = figure(x="Steps ahead", y="Error (RMSE, in std of the data)", height=380)
    band(made, still, "still", name="persistence: nothing changes", points=True)
    line(made, still.x, tolerance * still.mean, "still", name=f"{tolerance:g} of persistence", width=1, dash="dot")
    band(made, model, "model", name="world model", points=True, rank=1)
    if fidelity["safe_horizon"]:
        mark(made, fidelity["safe_horizon"], "check", f"safe: {fidelity['safe_horizon']}", row=0)
    if fidelity["break_even_horizon"]:
        mark(made, fidelity["break_even_horizon"], "reference", f"breaks even: {fidelity['break_even_horizon']}", row=1)
    both = np.concatenate([still.mean, model.mean])
    both = both[np.isfinite(both) & (both > 0)]
    wide = len(both) > 0 and both.max() > 100 * both.min()
    made.update_xaxes(type="log", tickvals=horizons, ticktext=[str(horizon) for horizon in horizons], showgrid=False)
    made.update_yaxes(type="log", dtick=1 if wide else "D2", tickformat=".4~g")
    return made


def coverage(calibration: Mapping[str, Any]) -> Any | None:
    """Stated against realised coverage, one line a kind of interval."""
    looks = {"mixture": ("model", "circle"), "gaussian": ("still", "square"), "conformal": ("check", "diamond")}
    known = [row for row in calibration["coverage"] if row["covered"]["mean"] is not None]
    if not known:
        return None
    made = figure(x="Stated coverage (%)", y="Realised coverage (%)", height=330)
    diagonal(made, 0, 100)
    for kind, (role, symbol) in looks.items():
        rows = [row for row in known if row["kind"] == kind]
        if not rows:
            continue
        found = to_curve([row["level"] for row in rows], [row["covered"] for row in rows])
        found = Curve(*(100 * np.asarray(column) for column in (found.x, found.mean, found.low, found.high)))
        made.add_scatter(
            x=found.x,
            y=found.mean,
            mode="lines+markers",
            name=kind,
            error_y=error_bars(found, role),
            line={"color": colour(role), "width": 2},
            marker={"size": 8, "symbol": symbol},
            hovertemplate=f"{kind}: %{{x:.0f}} % stated, %{{y:.1f}} % realised<extra></extra>",
        )
    floor = 10 * np.floor(10 * min(0.45, *(row["covered"]["mean"] for row in known)))
    made.update_xaxes(range=[46, 100], tickvals=sorted({round(100 * row["level"]) for row in known}))
    made.update_yaxes(range=[floor, 102], dtick=10 if floor >= 30 else 20)
    return made


def termination_reliability(termination: Mapping[str, Any]) -> Any | None:
    """Predicted probability of an ending against the share that came true."""
    bins = termination["bins"]
    if not bins or not termination["terminations"]:
        return None
    counts = np.asarray([part["count"] for part in bins], float)
    made = figure(x="Predicted probability of an ending (%)", y="Share that ended (%)", height=330)
    diagonal(made, 0, 100)
    made.add_scatter(
        x=[100 * part["predicted"] for part in bins],
        y=[100 * part["observed"] for part in bins],
        mode="lines+markers",
        name="steps, size by count",
        line={"color": colour("model", 0.45), "width": 1.5},
        marker={"size": 6 + 4 * np.log10(counts), "color": colour("model"), "line": {"width": 0}, "opacity": 1},
        customdata=counts,
        hovertemplate="%{customdata:,} steps<br>predicted %{x:.1f} %, came true %{y:.1f} %<extra></extra>",
    )
    made.update_xaxes(range=[-5, 105], dtick=25)
    made.update_yaxes(range=[-5, 105], dtick=25)
    return made


def knows_its_errors(calibration: Mapping[str, Any]) -> Any | None:
    """What the model says it does not know against how wrong it was, by tenths of the steps."""
    spread = calibration["spread"]
    if not spread:
        return None
    predicted, actual = (np.asarray([part[name] for part in spread]) for name in ("predicted", "actual"))
    made = figure(x="Stated, epistemic (std of the data)", y="Actual error (std of the data)", height=330)
    made.add_scatter(
        x=predicted,
        y=actual,
        mode="lines+markers",
        name="a tenth of the steps each",
        line={"color": colour("model"), "width": 2},
        marker={"size": 8, "color": colour("model")},
        customdata=[part["count"] for part in spread],
        hovertemplate="%{customdata:,} steps<br>stated %{x:.3g}, actual %{y:.3g}<extra></extra>",
    )
    if (predicted > 0).all() and (actual > 0).all() and predicted.max() > 10 * predicted.min():
        made.update_xaxes(type="log", dtick="D2", tickformat=".2~g")
        made.update_yaxes(type="log", dtick="D2", tickformat=".2~g")
    else:
        made.update_xaxes(rangemode="tozero", nticks=5)
        made.update_yaxes(rangemode="tozero", nticks=6)
    return made


def returns(rows: Sequence[tuple[str, str, Interval]]) -> Any | None:
    """A forest plot: (label, role, interval) top to bottom."""
    drawn = [(label, role, interval) for label, role, interval in rows if interval.mean is not None]
    if not drawn:
        return None
    made = figure(x="Return of an episode", y="", height=76 + 56 * len(drawn))
    for place, (label, role, interval) in enumerate(drawn):
        made.add_scatter(
            x=[interval.mean],
            y=[place],
            error_x=error_bar(interval, role),
            mode="markers+text",
            name=label,
            showlegend=False,
            text=[str(interval).split(", n=")[0]],
            textposition="top center",
            textfont={"size": 12, "color": colour(role)},
            cliponaxis=False,
            marker={"size": 10, "color": colour(role)},
            hovertemplate=f"{interval}<extra></extra>",
        )
    made.update_yaxes(
        range=[len(drawn) - 0.5, -0.6],
        tickvals=list(range(len(drawn))),
        ticktext=[html.escape(label) for label, _, _ in drawn],
        showline=False,
        ticks="",
        showgrid=False,
    )
    ends = [end for _, _, interval in drawn for end in (interval.mean, interval.low, interval.high) if end is not None]
    low, high = min(ends), max(ends)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    made.update_xaxes(range=[low - room, high + room], tickformat=",", nticks=7)
    return made


def spending(ledger: LedgerView, resource: str) -> Any | None:
    """What each account had spent of one resource over time, under the budget's line."""
    lines = [item for item in ledger.spending if item.resource == resource and len(item.seconds)]
    if not lines:
        return None
    longest = max(float(np.max(item.seconds)) for item in lines)
    unit, divisor = ("minutes", 60.0) if longest > 180 else ("seconds", 1.0)
    made = figure(x=f"Time since the start ({unit})", y=f"Spent ({html.escape(resource)})", height=320)
    roles = {"learn": "real", "check": "check"}
    most = max(float(np.max(item.spent)) for item in lines)
    for item in lines:
        seconds, spent = np.asarray(item.seconds, float), np.asarray(item.spent, float)
        kept = thin(len(seconds))
        x = np.concatenate([seconds[:1], seconds[kept], [longest]]) / divisor
        y = np.concatenate([[0.0], spent[kept], spent[-1:]])
        account = html.escape(item.account)
        look = {"shape": "hv", "hover": f"{account}: %{{y:,}}"}
        line(made, x, y, roles.get(item.account, "model"), name=f"account “{account}”", **look)
    if resource in ledger.budget:
        top = ledger.budget[resource]
        limit(made, top, "reference", f"budget {top:,}", above=False)
        most = max(most, float(top))
    made.update_yaxes(range=[0, 1.06 * most or 1], tickformat=",")
    made.update_xaxes(rangemode="tozero", range=[0, 1.02 * longest / divisor or 1])
    return made
