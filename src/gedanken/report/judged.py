"""Sections on what may be claimed: the model card, a thorough check, a panel of policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gedanken.evidence.interval import Interval
from gedanken.evidence.model_card import Claim, forbidden
from gedanken.intermediary.panel import IMAGINED
from gedanken.report import figures, judged_figures
from gedanken.report.data import NotMeasured, ReportData
from gedanken.report.markup import Canvas, missing, table, text


def claims(data: ReportData, _: Canvas) -> str:
    """Every claim with its level, and what the model must not be used for."""
    part = data.claims
    if isinstance(part, NotMeasured):
        return missing(part)
    shown = table(
        ["Claim", "Holds", "Level", "Figure"],
        [(claim.text, _holds(claim), claim.level, claim.figure) for claim in part],
    )
    listed = "".join(f"<li>{text(line)}</li>" for line in forbidden(part))
    if not listed:
        return shown + '<p class="caption">Nothing that was asked forbids a use.</p>'
    return f"{shown}<h4>It must not be used</h4><ul>{listed}</ul>"


def _holds(claim: Claim) -> str:
    return "yes" if claim.stands else "no" if claim.level == "refuted" else "not known"


def depth(data: ReportData, canvas: Canvas) -> str:
    """What a thorough check asked besides: values in every way, actions, forecasts ahead."""
    part = data.depth
    if isinstance(part, NotMeasured):
        return missing(part)
    return "".join(
        f"<h4>{title}</h4>{write(part[name], canvas)}"
        for name, title, write in (
            ("estimates", "What the agent is worth, in every way there is", _estimates),
            ("permuted", "Does it listen to actions?", _permuted),
            ("actions", "Do other actions lead elsewhere as in the world?", _actions),
        )
        if name in part
    ) + _ahead(part)


def _estimates(found: Mapping[str, Any], canvas: Canvas) -> str:
    intervals = {name: Interval.from_json(each) for name, each in found["estimates"].items()}
    roles = {"real only": "check", "prediction-powered": "check", "model alone": "model"}
    made = figures.returns([(name, roles.get(name, "still"), each) for name, each in intervals.items()])
    picture = canvas.figure(made, label="The agent's return by every estimator") if made is not None else ""
    none = [(name, each.reason) for name, each in intervals.items() if each.mean is None]
    why = table(["Not measured", "Why"], none) if none else ""
    return (
        f'{picture}{why}<p class="caption">From {found["real_episodes"]:,} real episodes of the agent, and '
        f"{found['logged_episodes']:,} logged ones of others; bars are 95 % intervals. Only the first two rest on the "
        "agent's own real episodes.</p>"
    )


def _permuted(found: Mapping[str, Any], canvas: Canvas) -> str:
    made = judged_figures.permuted(found)
    said = {
        True: "It forecasts worse when it is told the actions of another episode: it listens.",
        False: "It forecasts no worse when it is told the actions of another episode: it does not listen to them.",
        None: "Whether it listens to actions was not measured.",
    }[found["listens"]]
    picture = "" if made is None else canvas.figure(made, label="Error with recorded and with permuted actions")
    return f'<p class="lead">{said}</p>{picture}'


def _actions(found: Mapping[str, Any], _: Canvas) -> str:
    rows = [
        (horizon, _cell(found["correlation"][at]), _cell(found["explained"][at]), found["effects"][at])
        for at, horizon in enumerate(found["horizons"])
    ]
    shown = table(["Steps", "Correlation of effects", "Explained", "Effects"], rows, numeric=(1, 2, 3))
    why = f" {text(found['reason']).capitalize()}." if found["reason"] else ""
    return f'{shown}<p class="caption">From {text(found["how"])}; 1 is right, 0 a model that ignores actions.{why}</p>'


def _ahead(part: Mapping[str, Any]) -> str:
    """One line a horizon: forecasts, rewards and endings."""
    columns: list[tuple[str, Mapping[int, Mapping[str, Any]]]] = []
    for name, heads in (
        ("forecasts", {"crps_skill": "CRPS skill", "nll_gain": "NLL gain (nats)"}),
        ("rewards", {"ratio": "Relative reward error", "promised": "Promised minus real"}),
    ):
        if name in part:
            columns += [(head, _by_horizon(part[name], part[name][key])) for key, head in heads.items()]
    if "endings" in part:
        for key, head in (("agree", "Endings agree"), ("false_success", "False success")):
            columns.append((head, _by_horizon(part["endings"], [each[key] for each in part["endings"]["outcomes"]])))
    if not columns:
        return ""
    horizons = sorted({horizon for _, found in columns for horizon in found})
    rows = [(h, *(_cell(found[h]) if h in found else "" for _, found in columns)) for h in horizons]
    shown = table(["Steps", *(head for head, _ in columns)], rows, numeric=range(len(columns) + 1))
    return f"<h4>Steps ahead</h4>{shown}"


def _by_horizon(found: Mapping[str, Any], values: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return dict(zip(found["horizons"], values, strict=True))


def panel(data: ReportData, canvas: Canvas) -> str:
    """Ranking, held-out policies and exploitation, from policies that were played for real and in the model."""
    part = data.panel
    if isinstance(part, NotMeasured):
        return missing(part)
    made = judged_figures.panel(part["values"], IMAGINED)
    picture = (
        missing("no policy was played on both sides")
        if made is None
        else canvas.figure(
            made,
            label="Return in the world against return in the model, a point a policy",
            caption="A point is a policy, with 95 % intervals. On the dotted line the model is right.",
        )
    )
    ranking = part["rankings"].get(IMAGINED)
    scores = "" if ranking is None else _ranking(ranking)
    curves = "".join(
        f'<div class="panel"><h4>Optimised by {text(learner)}</h4>'
        f"{canvas.figure(judged_figures.exploitation(curve), label=f'Returns by updates of {learner}')}</div>"
        for learner, curve in part["exploitation"].items()
    )
    drawn = f'<h4>Optimising in it</h4><div class="panels two">{curves}</div>' if curves else ""
    return picture + scores + _held_out(part["held_out_policies"]) + drawn


def _ranking(ranking: Mapping[str, Any]) -> str:
    rows = [(name.replace("_", " "), _cell(score["value"])) for name, score in ranking["scores"].items()]
    rows.append(("reliability of the real returns", _cell(ranking["reliability"])))
    return table(["Does it rank as the world does?", "Value"], rows, numeric=(1,))


def _held_out(found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{level['level']:.0%}",
            level["unit"],
            "abstains" if level["abstains"] else "fails" if level["fails"] else "holds",
            _cell(level["covered"]),
            _cell(level["width"]),
        )
        for level in found["levels"]
    ]
    heads = ["Intervals for policies held out", "Calibrated by", "Verdict", "Covered", "Width (std)"]
    advice = "".join(f"<li>{text(line)}</li>" for line in found["advice"])
    return table(heads, rows, numeric=(3, 4)) + (f"<ul>{advice}</ul>" if advice else "")


def _cell(interval: Mapping[str, Any]) -> str:
    """`0.93 [0.91, 0.95]`, or that it was not measured."""
    if interval["mean"] is None:
        return "not measured"
    if interval["low"] is None:
        return f"{interval['mean']:.3g}"
    return f"{interval['mean']:.3g} [{interval['low']:.3g}, {interval['high']:.3g}]"
