"""The report of a campaign of experiments: what was found, for how much, and whether what was foreseen came true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gedanken.intermediary.found import Found
from gedanken.intermediary.suggestions import Suggested, SuggestionLog
from gedanken.models.gaussian_process import GaussianProcess, fit_gaussian_process
from gedanken.report.data import Curve
from gedanken.report.drawing import band, diagonal
from gedanken.report.markup import Canvas, amounts, duration, missing, number, pairs, table, text
from gedanken.report.page import document, write_page
from gedanken.report.theme import colour, figure
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Design, Integer, Parameter, Value
from gedanken.worlds.science.trials import Objective, Trial

NAME = "report.html"
_LEAST_FOR_A_MODEL = 4


class Reported(Protocol):
    """What is reported on: a campaign or a laboratory."""

    @property
    def folder(self) -> Path: ...

    @property
    def objectives(self) -> tuple[Objective, ...]: ...

    @property
    def suggestions(self) -> SuggestionLog: ...

    @property
    def space(self) -> DesignSpace: ...

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
            (f"Best {text(objective.name)}", best, _reached(found), "check"),
            ("90 % intervals that held", held, "of forecasts made before the experiment", "model"),
        )
    )
    sections = (
        ("progress", "What was found", _progress(objective, trials, canvas)),
        ("forecasts", "What was foreseen", _forecasts(objective, trials, campaign.suggestions.entries, canvas)),
        ("parameters", "Where it looked", _parameters(objective, campaign.space, trials, canvas)),
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


def _reached(found: Found) -> str:
    after = f"after {_first_best(found.trace)} experiments"
    return after if found.by_chance is None else f"{after}; by chance, {found.by_chance} in the median"


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
    count, spent = _spent(done)
    made = figure(x=spent, y=_titled(objective), height=380)
    made.add_scatter(
        x=count, y=values, mode="markers", name="an experiment", marker={"size": 8, "color": colour("real", 0.45)}
    )
    made.add_scatter(
        x=count, y=best, mode="lines", name="best so far", line={"color": colour("real"), "width": 2.5, "shape": "hv"}
    )
    return canvas.figure(made, label=f"best {objective.name} by experiments")


def _spent(done: Sequence[Trial]) -> tuple[np.ndarray, str]:
    """How much was spent after each experiment, and in what: money where all cost some, else their number."""
    money = [trial.cost.of("micro_usd") for trial in done]
    if min(money) > 0:
        return np.cumsum(money) / 1e6, "USD"
    return np.arange(1, len(done) + 1), "Experiments"


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


def _parameters(objective: Objective, space: DesignSpace, trials: Sequence[Trial], canvas: Canvas) -> str:
    """A panel a parameter: every experiment, and what the model expects along it from the best design."""
    done = _measured(objective, trials)
    if not done:
        return missing("no experiment was measured")
    values = [trial.results[objective.name] for trial in done]
    best = max(done, key=lambda trial: objective.sign * trial.results[objective.name]).design
    process = _model(objective, space, done)
    panels = []
    for parameter in space.parameters:
        name = parameter.name
        made = figure(x=f"{name} ({parameter.unit})" if parameter.unit else name, y=_titled(objective), height=260)
        if process is not None:
            _slice(made, process, space, best, parameter)
        made.add_scatter(
            x=[trial.design[name] for trial in done],
            y=values,
            mode="markers",
            name="an experiment",
            marker={"size": 7, "color": colour("real", 0.6)},
        )
        panels.append(canvas.figure(made, label=f"{objective.name} by {name}", legend=False))
    caption = (
        "Points are experiments. The line is what the model expects along one parameter, everything else as in the "
        "best design; the band holds the next result with 90 %."
    )
    shown = f'<p class="caption">{caption}</p>' if process is not None else ""
    return f'<div class="panels two">{"".join(panels)}</div>{shown}'


def _model(objective: Objective, space: DesignSpace, done: Sequence[Trial]) -> GaussianProcess | None:
    if len(done) < _LEAST_FOR_A_MODEL:
        return None
    y = np.array([trial.results[objective.name] for trial in done])
    return fit_gaussian_process(space.groups, space.encode([trial.design for trial in done]), y, seed=0)


def _slice(made: Any, process: GaussianProcess, space: DesignSpace, best: Design, parameter: Parameter) -> None:
    if isinstance(parameter, Categorical):
        places: list[Value] = list(parameter.levels)
    elif isinstance(parameter, Integer):
        places = [int(v) for v in np.unique(np.linspace(parameter.low, parameter.high, 41).round())]
    else:
        places = [parameter.decoded(np.array([share])) for share in np.linspace(0.0, 1.0, 41)]
    x = space.encode([{**best, parameter.name: place} for place in places])
    mean, (low, high) = process.predict(x).mean, process.interval(x, 0.9)
    if isinstance(parameter, Categorical):
        made.add_scatter(
            x=places,
            y=mean,
            mode="markers",
            name="expected",
            marker={"symbol": "line-ew-open", "size": 22, "color": colour("model")},
            error_y={"type": "data", "array": high - mean, "arrayminus": mean - low, "color": colour("model", 0.5)},
        )
    else:
        band(made, Curve(np.array(places, float), mean, low, high), "model", name="expected")


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
