"""The figures of what a model was judged by: permuted actions, a panel of policies, exploitation by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gedanken.report.drawing import band, diagonal, error_bars, limit, to_curve
from gedanken.report.theme import colour, figure


def permuted(found: Mapping[str, Any]) -> Any | None:
    """Error by steps ahead with the recorded actions, and with those of another episode."""
    horizons = [int(horizon) for horizon in found["horizons"]]
    told, deaf = to_curve(horizons, found["recorded"]), to_curve(horizons, found["permuted"])
    if not np.isfinite(told.mean).any():
        return None
    made = figure(x="Steps ahead", y="Error (RMSE, in std of the data)", height=330)
    band(made, deaf, "still", name="told the actions of another episode", points=True)
    band(made, told, "model", name="told the recorded actions", points=True, rank=1)
    made.update_xaxes(type="log", tickvals=horizons, ticktext=[str(horizon) for horizon in horizons], showgrid=False)
    made.update_yaxes(type="log", dtick="D2", tickformat=".4~g")
    return made


def panel(values: Sequence[Mapping[str, Any]], source: str) -> Any | None:
    """Every policy of a panel: its return in the world against what a source says of it."""
    own = [each for each in values if each["source"] == source]
    kept = [each for each in own if each["comparison"]["real"]["mean"] is not None]
    kept = [each for each in kept if each["comparison"]["imagined"]["mean"] is not None]
    if not kept:
        return None
    real = to_curve(np.zeros(len(kept)), [each["comparison"]["real"] for each in kept])
    said = to_curve(np.zeros(len(kept)), [each["comparison"]["imagined"] for each in kept])
    made = figure(x="Return in the model", y="Return in the world", height=420)
    ends = np.concatenate([end for side in (real, said) for end in (side.mean, side.low, side.high)])
    ends = ends[np.isfinite(ends)]
    room = 0.05 * (float(ends.max() - ends.min()) or 1.0)
    low, high = float(ends.min()) - room, float(ends.max()) + room
    diagonal(made, low, high)
    made.add_scatter(
        x=said.mean,
        y=real.mean,
        error_x=error_bars(said, "still"),
        error_y=error_bars(real, "check"),
        mode="markers",
        name=f"{len(kept)} policies",
        marker={"size": 9, "color": colour("check")},
        text=[each["policy"] for each in kept],
        hovertemplate="%{text}<br>in the model %{x:.4g}, in the world %{y:.4g}<extra></extra>",
    )
    made.update_xaxes(range=[low, high], tickformat=",")
    made.update_yaxes(range=[low, high], tickformat=",")
    return made


def exploitation(curve: Mapping[str, Any]) -> Any:
    """Returns in the model and in the world along an optimisation in the model; marks where to stop."""
    steps = [int(step) for step in curve["steps"]]
    made = figure(x="Updates in the model", y="Return of an episode", height=330)
    band(made, to_curve(steps, curve["imagined"]), "model", name="in the model", points=True)
    band(made, to_curve(steps, curve["real"]), "check", name="in the world", points=True)
    if curve["stop"] is not None:
        made.add_vline(x=curve["stop"], line={"color": colour("reference"), "width": 1, "dash": "dash"})
        best = curve["real"][steps.index(curve["deploy"])]["mean"]
        limit(made, best, "reference", f"stop at {curve['stop']:,}, deploy {curve['deploy']:,}")
    made.update_xaxes(rangemode="tozero", tickformat=",")
    made.update_yaxes(tickformat=",")
    return made
