"""The report of a campaign of experiments: what was found, for how much, and whether what was foreseen came true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gedanken.intermediary.found import Found
from gedanken.intermediary.suggestions import Suggested, SuggestionLog
from gedanken.report.drawing import diagonal
from gedanken.report.markup import Canvas, amounts, duration, missing, number, pairs, table, text
from gedanken.report.page import document, write_page
from gedanken.report.theme import colour, figure
from gedanken.worlds.science.trials import Objective, Trial

NAME = "report.html"


class Reported(Protocol):
    """What is reported on: a campaign or a laboratory."""

    @property
    def folder(self) -> Path: ...

    @property
    def objectives(self) -> tuple[Objective, ...]: ...

    @property
    def suggestions(self) -> SuggestionLog: ...

    def trials(self) -> list[Trial]: ...

    def found(self) -> Found: ...

    def settings(self) -> dict[str, Any]: ...


def write_campaign_report(campaign: Reported) -> Path:
    """Writes report.html into the campaign's folder.

    Raises:
        FileError: the file cannot be written.
    """
    return write_page(campaign.folder / NAME, render_campaign(campaign))


def render_campaign(campaign: Reported) -> str:
    """The page of one campaign."""
    canvas, found = Canvas(), campaign.found()
    trials = campaign.trials()
    objective, world = found.objective, text(found.world)
    unit = f" {text(objective.unit)}" if objective.unit else ""
    best = f"{found.trace[-1]:.4g}{unit}" if found.trace else "not measured"
    held = f"{found.inside} of {found.forecasts}" if found.forecasts else "not measured"
    tiles = "".join(
        f'<div class="tile" style="--mark:var(--{role})"><h4>{name}</h4><p class="value">{value}</p><p>{note}</p></div>'
        for name, value, note, role in (
            ("Paid", text(amounts(found.paid)), f"in {duration(found.seconds)}", "real"),
            (f"Best {text(objective.name)}", best, f"after {_first_best(found.trace)} experiments", "check"),
            ("90 % intervals that held", held, "of forecasts made before the experiment", "model"),
        )
    )
    sections = (
        ("progress", "What was found", _progress(objective, trials, canvas)),
        ("forecasts", "What was foreseen", _forecasts(objective, trials, campaign.suggestions.entries, canvas)),
        ("parameters", "Where it looked", _parameters(objective, trials, canvas)),
        ("front", "Objectives against each other", _front(campaign.objectives, trials, canvas)),
        ("experiments", "Every experiment", _listed(objective, trials, campaign.suggestions.entries)),
        ("settings", "Settings", pairs({k: json.dumps(v) for k, v in campaign.settings().items()})),
    )
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in sections)
    summary = f"{len(trials)} experiments; {text(objective.name)} should go {_way(objective)}."
    body = f"""<header><p class="eyebrow">Gedanken report</p><h1>{world}</h1>
<p class="summary">{summary}</p><nav>{links}</nav></header><div class="tiles">{tiles}</div>"""
    body += "".join(f'<section id="{anchor}"><h2>{title}</h2>{inner}</section>' for anchor, title, inner in sections)
    return document(f"{found.world} · Gedanken report", body, canvas)


def _way(objective: Objective) -> str:
    return "up" if objective.goal == "max" else "down"


def _first_best(trace: Sequence[float]) -> int:
    """After how many experiments the best was there."""
    return next((number for number, value in enumerate(trace, 1) if value == trace[-1]), 0)


def _titled(objective: Objective) -> str:
    return f"{objective.name} ({objective.unit})" if objective.unit else objective.name


def _measured(objective: Objective, trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if objective.name in trial.results]


def _progress(objective: Objective, trials: Sequence[Trial], canvas: Canvas) -> str:
    done = _measured(objective, trials)
    if not done:
        return missing("no experiment was measured")
    values = np.array([trial.results[objective.name] for trial in done])
    best = (np.maximum if objective.goal == "max" else np.minimum).accumulate(values)
    count = np.arange(1, len(values) + 1)
    made = figure(x="Experiments", y=_titled(objective), height=380)
    made.add_scatter(
        x=count, y=values, mode="markers", name="an experiment", marker={"size": 8, "color": colour("real", 0.45)}
    )
    made.add_scatter(
        x=count, y=best, mode="lines", name="best so far", line={"color": colour("real"), "width": 2.5, "shape": "hv"}
    )
    return canvas.figure(made, label=f"best {objective.name} by experiments")


def _forecasts(objective: Objective, trials: Sequence[Trial], suggested: dict[int, Suggested], canvas: Canvas) -> str:
    told = [
        (forecast, trial.results[objective.name])
        for trial in _measured(objective, trials)
        if (entry := suggested.get(int(trial.id))) is not None
        and (forecast := entry.forecasts.get(objective.name)) is not None
    ]
    if not told:
        return missing("no experiment was foreseen")
    said = np.array([forecast.mean for forecast, _ in told])
    came = np.array([value for _, value in told])
    above = np.array([forecast.high - forecast.mean for forecast, _ in told])
    below = np.array([forecast.mean - forecast.low for forecast, _ in told])
    inside = (said - below <= came) & (came <= said + above)
    made = figure(x=f"foreseen {_titled(objective)}", y="measured", height=420)
    diagonal(made, float(min(said.min(), came.min())), float(max(said.max(), came.max())))
    for kept, name, role in ((inside, "within its 90 % interval", "model"), (~inside, "outside", "reference")):
        if not kept.any():
            continue
        made.add_scatter(
            x=said[kept],
            y=came[kept],
            mode="markers",
            name=name,
            marker={"size": 8, "color": colour(role)},
            error_x={"type": "data", "array": above[kept], "arrayminus": below[kept], "width": 0, "thickness": 1},
        )
    caption = "Each point was foreseen before it was measured; the bar is its 90 % interval."
    return canvas.figure(made, label="foreseen against measured", caption=caption)


def _parameters(objective: Objective, trials: Sequence[Trial], canvas: Canvas) -> str:
    done = _measured(objective, trials)
    if not done:
        return missing("no experiment was measured")
    values = [trial.results[objective.name] for trial in done]
    panels = []
    for name in done[0].design:
        made = figure(x=name, y=_titled(objective), height=260)
        made.add_scatter(
            x=[trial.design[name] for trial in done],
            y=values,
            mode="markers",
            name="an experiment",
            marker={"size": 7, "color": colour("real", 0.6)},
        )
        panels.append(canvas.figure(made, label=f"{objective.name} by {name}", legend=False))
    return f'<div class="panels two">{"".join(panels)}</div>'


def _front(objectives: Sequence[Objective], trials: Sequence[Trial], canvas: Canvas) -> str:
    if len(objectives) < 2:
        return missing("there is one objective")
    one, other = objectives[:2]
    done = [trial for trial in trials if {one.name, other.name} <= set(trial.results)]
    if not done:
        return missing("no experiment measured both")
    values = np.array([[o.sign * trial.results[o.name] for o in (one, other)] for trial in done])
    beaten = [any((v >= row).all() and (v > row).any() for v in values) for row in values]
    made = figure(x=_titled(one), y=_titled(other), height=380)
    for is_beaten, name, role in ((True, "bettered in both", "reference"), (False, "bettered by none", "check")):
        kept = [trial for trial, b in zip(done, beaten, strict=True) if b is is_beaten]
        made.add_scatter(
            x=[trial.results[one.name] for trial in kept],
            y=[trial.results[other.name] for trial in kept],
            mode="markers",
            name=name,
            marker={"size": 8, "color": colour(role)},
        )
    return canvas.figure(made, label=f"{one.name} against {other.name}")


def _listed(objective: Objective, trials: Sequence[Trial], suggested: dict[int, Suggested]) -> str:
    if not trials:
        return missing("there was none")
    names = list(trials[0].design)
    rows: list[list[Any]] = [
        [
            index,
            *(number(value) if isinstance(value, float) else value for value in map(trial.design.get, names)),
            number(trial.results[objective.name]) if objective.name in trial.results else trial.state.value.lower(),
            suggested[int(trial.id)].why if int(trial.id) in suggested else trial.note,
        ]
        for index, trial in enumerate(trials, 1)
    ]
    return table(["", *names, objective.name, "why"], rows, numeric=(0, len(names) + 1))
